//! Computations that take milliseconds or more, on threads other than those of the async runtime.
//!
//! The cost of SCRAM grows with an iteration count that the server chooses.

use std::{
    error::Error,
    num::NonZero,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::spawn_blocking,
};

use crate::{Fault, FaultKind};

/// One permit per core, shared by all servers, limits concurrent computations.
static CORES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(cores))
});

/// Runs `work` on a thread for blocking work.
pub(super) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let permit = Arc::clone(&CORES).acquire_owned().await.map_err(stopped)?;
    // The closure holds the permit, because the computation continues after its caller gives up.
    let computation = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    computation.await.map_err(stopped)
}

/// The fault for a computation that did not complete.
fn stopped(error: impl Error + Send + Sync + 'static) -> Fault {
    Fault::new(FaultKind::Throttled, "rekey stopped during a computation").caused_by(error)
}

/// Completes a future that computes between its waits. Each poll is one computation. The waits hold
/// neither a thread nor a permit, so a server that is slow to answer delays no other.
pub(super) async fn computed<F>(work: F) -> Result<F::Output, Fault>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let woken = Arc::new(Woken(Notify::new()));
    let mut work = Box::pin(work);
    loop {
        let waker = Waker::from(Arc::clone(&woken));
        let poll = compute(move || {
            let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
            (work, polled)
        });
        match poll.await? {
            (_, Poll::Ready(done)) => return Ok(done),
            (pending, Poll::Pending) => work = pending,
        }
        woken.0.notified().await;
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::pin::pin;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        task::yield_now,
    };

    use crate::{Connector as _, Egress, Kind as _, postgresql::Database};

    /// Counts the turns that other tasks of the only thread get while `work` waits or computes.
    pub(in crate::postgresql) async fn turns_beside<T>(
        work: impl Future<Output = T>,
    ) -> (T, usize) {
        let mut work = pin!(work);
        let mut turns = 0;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return (done, turns),
                () = yield_now() => turns += 1,
            }
        }
    }

    async fn message(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let size = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(size);
        bytes
    }

    fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len() + 8).unwrap();
        [b"R", &length.to_be_bytes()[..], &kind.to_be_bytes(), data].concat()
    }

    /// Plays a server that asks for a SCRAM sign-in with `iterations`. Returns the client's proof,
    /// empty if it sends none, and the number of turns that other tasks had until then.
    async fn ask_for_proof(listener: TcpListener, iterations: u32) -> (Vec<u8>, usize) {
        let mut stream = listener.accept().await.unwrap().0;
        message(&mut stream).await;
        stream.write_all(&authentication(10, b"SCRAM-SHA-256\0\0")).await.unwrap();
        let first = message(&mut stream).await;
        let first = String::from_utf8_lossy(&first);
        let nonce = first.split_once(",r=").unwrap().1;
        let challenge = format!("r={nonce}x,s=c2FsdA==,i={iterations}");
        stream.write_all(&authentication(11, challenge.as_bytes())).await.unwrap();
        turns_beside(message(&mut stream)).await
    }

    async fn sign_in(iterations: u32) -> (String, Vec<u8>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = serde_json::json!({
            "host": "127.0.0.1", "port": listener.local_addr().unwrap().port(),
            "tls": "none", "allowInsecure": true, "user": "rekey", "password": "x",
        });
        let config = serde_json::from_value(config).unwrap();
        let database = Database::open(config, &Egress::default()).unwrap();
        let (tested, (proof, turns)) =
            tokio::join!(database.test(), ask_for_proof(listener, iterations));
        let fault = tested.unwrap_err();
        let cause = std::error::Error::source(&fault).map(ToString::to_string);
        (format!("{fault}: {}", cause.unwrap_or_default()), proof, turns)
    }

    #[tokio::test]
    async fn a_sign_in_leaves_the_runtime_to_others_however_many_iterations_it_takes() {
        let (_, proof, turns) = sign_in(10_000).await;
        assert!(String::from_utf8_lossy(&proof).contains(",p="), "{proof:?}");
        assert!(turns > 100, "other tasks had {turns} turns");
        // The client refuses a higher iteration count than its limit.
        let (fault, proof, _) = sign_in(100_001).await;
        assert!(fault.contains("SCRAM iteration count"), "{fault}");
        assert!(proof.is_empty(), "{proof:?}");
    }
}
