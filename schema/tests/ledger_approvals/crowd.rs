//! Ten thousand pending. Prints how long each takes; in a release build that is less than 50 ms. What can be repeated is
//! done three times, and the shortest counts: what else the machine does is not measured.

use crate::ledger_support::{NOW, open};
use crate::support::*;
use hudson_schema::ledger::*;
use std::time::{Duration, Instant};

const CROWD: usize = 10_000;
/// What a sweep writes down at a time.
const BATCH: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pending_are_listed_and_swept() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let mut asking = tokio::task::JoinSet::new();
    for index in 0..CROWD {
        let mut request = ask_freely(0, NOW);
        request.fingerprint.0[..8].copy_from_slice(&index.to_be_bytes());
        request.bottle = format!("bottle-{}", index % 100).parse().unwrap();
        let ledger = ledger.clone();
        asking.spawn(async move { created(ledger.approval_submit(request).await.unwrap()) });
    }
    assert_eq!(asking.join_all().await.len(), CROWD);
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 50 });
    let within = |what: &str, taken: Duration| {
        println!("{what}: {taken:?}");
        assert!(taken < bound, "{what}: {taken:?}");
    };

    let (taken, listed) = shortest(|| ledger.approval_list(of_status(ApprovalStatus::Pending, NOW))).await;
    within("all listed", taken);
    assert_eq!(listed.len(), CROWD);

    let page = ApprovalQuery {
        most: 100,
        before: Some(listed[5_000].seq),
        ..of_status(ApprovalStatus::Pending, NOW)
    };
    let (taken, page) = shortest(|| ledger.approval_list(page.clone())).await;
    within("a page listed", taken);
    assert_eq!(page, listed[5_001..5_101]);

    let bottle = Some("bottle-7".parse().unwrap());
    let page = ApprovalQuery { bottle, most: 100, ..of_status(ApprovalStatus::Pending, NOW) };
    let (taken, page) = shortest(|| ledger.approval_list(page.clone())).await;
    within("a bottle's listed", taken);
    assert_eq!(page.len(), 100);

    let (taken, swept) = shortest(|| ledger.approval_expire(sweep(NOW))).await;
    within("swept, nothing due", taken);
    assert_eq!(swept, Swept::default());

    let (begun, mut batches, mut expired) = (Instant::now(), Vec::new(), 0);
    loop {
        let batch = Instant::now();
        let swept = ledger.approval_expire(ApprovalSweep { most: BATCH, ..sweep(NOW + TTL) }).await.unwrap();
        batches.push(batch.elapsed());
        expired += swept.expired;
        if swept.expired < BATCH {
            break;
        }
    }
    batches.sort();
    println!("all swept, all due: {:?}; the longest batch of {BATCH} {:?}", begun.elapsed(), batches.last());
    within("a batch swept, the median", batches[batches.len() / 2]);
    assert_eq!(expired, CROWD);
}

async fn shortest<T, F: Future<Output = Result<T, LedgerError>>>(run: impl Fn() -> F) -> (Duration, T) {
    let mut best = None;
    for _ in 0..3 {
        let begun = Instant::now();
        let result = run().await.unwrap();
        let taken = begun.elapsed();
        if best.as_ref().is_none_or(|(least, _)| taken < *least) {
            best = Some((taken, result));
        }
    }
    best.unwrap()
}
