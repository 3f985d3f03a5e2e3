use proptest::prelude::*;

use crate::http::serve::quotes::*;

fn repaired(chunks: &[&[u8]]) -> String {
    let (mut repair, mut out) = (Repair::default(), Vec::new());
    for chunk in chunks {
        repair.feed(chunk, &mut out);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn only_the_first_line_of_each_request_is_repaired() {
    let sent = "GET /a?b=\"c\" HTTP/1.1\r\nX: \"y\"\r\n\r\n\
                POST /d HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"e\"\
                \r\nGET /f?\" HTTP/1.1\r\n\r\n";
    let wanted = "GET /a?b=%22c%22 HTTP/1.1\r\nX: \"y\"\r\n\r\n\
                  POST /d HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"e\"\
                  \r\nGET /f?%22 HTTP/1.1\r\n\r\n";
    assert_eq!(repaired(&[sent.as_bytes()]), wanted);
    let bytes: Vec<_> = sent.as_bytes().chunks(1).collect();
    assert_eq!(repaired(&bytes), wanted);
}

#[test]
fn nothing_is_touched_once_a_body_has_no_plain_end() {
    for header in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "content-length: x",
        "Content-Length: 1\r\nContent-Length: 1",
        &format!("Content-Length: {}12", " ".repeat(50)),
    ] {
        let sent = format!("POST / HTTP/1.1\r\n{header}\r\n\r\n\"\r\nGET /\"\r\n");
        assert_eq!(repaired(&[sent.as_bytes()]), sent);
    }
}

#[test]
fn requests_after_chunks_are_repaired_and_chunks_are_not() {
    let request =
        |chunks: &str| format!("POST / HTTP/1.1\r\ntransfer-encoding:  Chunked \r\n\r\n{chunks}");
    let next = "\r\nGET /\" HTTP/1.1\r\nUpgrade: h2c\r\n\r\nGET /\"";
    let repaired_next = next.replace('"', "%22");
    for chunks in [
        "0\r\n\r\n",
        "3\r\n\"\"\"\r\n0\r\n\r\n",
        "00A;name=\"value\"\r\n\"\r\n\r\nGET /\r\n1 \t\r\n\"\r\n000\r\n\r\n",
        "0\r\nTrailer: \"x\"\r\nAnother: \"\r\n\r\n",
    ] {
        let sent = request(chunks) + next;
        let wanted = request(chunks) + &repaired_next;
        assert_eq!(repaired(&[sent.as_bytes()]), wanted);
        let bytes: Vec<_> = sent.as_bytes().chunks(1).collect();
        assert_eq!(repaired(&bytes), wanted);
    }
    for chunks in [
        "\r\n",
        "x\r\n",
        "0\n\r\n",
        "0\r\nTrailer: x\n\r\n",
        &format!("1;{}\r\n\"\r\n0\r\n\r\n", "x".repeat(LINE)),
    ] {
        let sent = request(chunks) + next;
        assert_eq!(repaired(&[sent.as_bytes()]), sent);
    }
}

#[test]
fn a_head_is_distinguished_from_a_body_and_from_nothing() {
    let within = |sent: &str| {
        let mut quotes = Quotes::new(());
        quotes.repair.feed(sent.as_bytes(), &mut Vec::new());
        quotes.within()
    };
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (sent, wanted) in [
        ("", Within::Nothing),
        ("3", Within::Body),
        ("3\r\nabc\r\n", Within::Body),
        ("3\r\nabc\r\n0\r\n", Within::Body),
        ("0\r\n\r\n", Within::Nothing),
        ("0\r\n\r\nG", Within::Head),
        ("x\r\n", Within::Head),
    ] {
        let head = if sent.is_empty() { "" } else { head };
        assert_eq!(within(&format!("{head}{sent}")), wanted, "{sent}");
    }
}

proptest! {
    #[test]
    fn a_body_is_never_touched(body in "\\PC*") {
        let sent = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        prop_assert_eq!(repaired(&[sent.as_bytes()]), sent);
    }
}
