//! Futures that go on side by side, without tasks of their own, so that they may borrow.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// What each of them gave, in their order.
pub async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *result = Some(done);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::together;

    #[tokio::test(start_paused = true)]
    async fn futures_run_side_by_side() {
        let begun = Instant::now();
        let naps = (0..20_u64).map(|i| async move {
            sleep(Duration::from_millis(100 - i)).await;
            i
        });
        assert_eq!(together(naps).await, (0..20).collect::<Vec<_>>());
        assert!(begun.elapsed() < Duration::from_millis(200));
    }
}
