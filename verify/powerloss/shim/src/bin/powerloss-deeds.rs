//! The program that the shim's tests run: it does the one operation that its argument names, and
//! exits without closing or syncing anything else.
#![expect(clippy::unwrap_used, clippy::panic, reason = "only tests run it")]

use std::{
    env, fs,
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

fn main() {
    let deed = env::args().nth(1).unwrap();
    let open = |name: &str| File::options().read(true).write(true).open(name).unwrap();
    match deed.as_str() {
        "write and sync" => {
            open("old").write_all_at(b"new", 700).unwrap();
            open("old").sync_data().unwrap();
        }
        "write" => {
            open("old").write_all_at(b"new", 700).unwrap();
            open("old").write_all_at(b"end", 3000).unwrap();
        }
        "write, sync, write" => {
            let file = open("old");
            file.write_all_at(b"first", 0).unwrap();
            file.sync_all().unwrap();
            file.write_all_at(b"then!", 0).unwrap();
            file.write_all_at(b"then!", 0).unwrap();
        }
        "fail to sync, sync" | "fail to sync, write once more, sync" => {
            let failing = env::var("POWERLOSS_FAILING").unwrap();
            let file = open("old");
            file.write_all_at(b"new", 700).unwrap();
            File::create(&failing).unwrap();
            let error = file.sync_data().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(5), "{error}");
            // Each descriptor reports the failure once; after that there is nothing left to write.
            file.sync_data().unwrap();
            open("old").sync_data().unwrap();
            fs::remove_file(failing).unwrap();
            if deed.contains("once more") {
                file.write_all_at(b"new", 700).unwrap();
            }
            file.sync_data().unwrap();
        }
        "write while two syncs are under way" => {
            // Each sync takes as long as the test sets: the second one begins during the first, and
            // the last write happens during both.
            let file = Arc::new(open("old"));
            let sync = |file: &Arc<File>| {
                let file = file.clone();
                let (began, begins) = mpsc::channel();
                let thread = thread::spawn(move || {
                    began.send(()).unwrap();
                    file.sync_data().unwrap();
                });
                begins.recv().unwrap();
                thread::sleep(Duration::from_millis(20));
                thread
            };
            file.write_all_at(b"first", 0).unwrap();
            let first = sync(&file);
            file.write_all_at(b"second", 512).unwrap();
            let second = sync(&file);
            file.write_all_at(b"third", 1024).unwrap();
            first.join().unwrap();
            second.join().unwrap();
        }
        "shorten" => open("old").set_len(10).unwrap(),
        "overwrite" => fs::write("old", "short").unwrap(),
        "create" => {
            let mut file = File::create("new").unwrap();
            file.write_all(b"new").unwrap();
            file.sync_all().unwrap();
        }
        "create and sync the folder" => {
            let mut file = File::create("new").unwrap();
            file.write_all(b"new").unwrap();
            file.sync_all().unwrap();
            File::open(".").unwrap().sync_all().unwrap();
        }
        "remove" => fs::remove_file("old").unwrap(),
        "rename over" => {
            let mut file = File::create("new").unwrap();
            file.write_all(b"new").unwrap();
            file.sync_all().unwrap();
            File::open(".").unwrap().sync_all().unwrap();
            fs::rename("new", "old").unwrap();
        }
        "every sector" => open("old").write_all_at(&[b'n'; 2000], 0).unwrap(),
        other => panic!("no such deed: {other}"),
    }
}
