//! The journal carried out, on a real ledger, with a back end that fails when it is told to.

use super::*;
use anyhow::{Result, bail};
use async_trait::async_trait;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{BlockOrder, NewRun};
use hudson_schema::{BottleName, Policy};
use std::collections::VecDeque;

/// What is to go wrong, and how.
enum Fault {
    Passing,
    Lasting,
    /// It never comes back, as where the process dies in the middle of it.
    Hanging,
}

#[derive(Default)]
struct Bottle {
    faults: Mutex<VecDeque<Fault>>,
    done: Mutex<Vec<Action>>,
}

#[async_trait]
impl BackEnd for Bottle {
    async fn carry_out(&self, row: &Enforcement) -> Result<String> {
        self.done.lock().unwrap().push(row.action);
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => Ok("done".to_owned()),
            Some(Fault::Passing) => bail!("the engine is away"),
            Some(Fault::Lasting) => Err(Lasting("nobody can".to_owned()).into()),
            Some(Fault::Hanging) => std::future::pending().await,
        }
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Witness for Heard {
    fn begins(&self, row: &Enforcement) {
        self.0.lock().unwrap().push(format!("{}", row.action));
    }

    fn fails(&self, row: &Enforcement, why: &str) {
        self.0.lock().unwrap().push(format!("{} failed: {why}", row.action));
    }
}

struct Scene {
    ledger: SharedLedger,
    heard: Heard,
    enforcer: Arc<Enforcer>,
    run: RunId,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger: SharedLedger = Arc::new(
            SqliteLedger::open(&folder.path().join("ledger.db"), &folder.path().join("owners")).unwrap(),
        );
        let run: RunId = "r1".parse().unwrap();
        let bottle: BottleName = "ci".parse().unwrap();
        let new = NewRun {
            id: run.clone(),
            bottle,
            agent: None,
            parents: Vec::new(),
            credential_hash: [0; 32],
            launch: serde_json::json!({}),
            supervised: true,
            started_at: 0,
        };
        ledger.run_insert(new).await.unwrap();
        let heard = Heard::default();
        let enforcer = Enforcer::new(ledger.clone(), Box::new(heard.clone()));
        Self { ledger, heard, enforcer, run, _folder: folder }
    }

    async fn order(&self, policy: Policy) {
        let scope = Scope::new(ScopeKind::Run, self.run.as_str());
        let (cause, actor) = ("by hand".to_owned(), "operator:0".to_owned());
        self.ledger.block_order(BlockOrder { scope, policy, cause, actor, now: now() }).await.unwrap();
    }

    async fn rows(&self) -> Vec<(Action, EnforcementState, String)> {
        let rows = self.ledger.enforcement_list(Some(&self.run)).await.unwrap();
        rows.into_iter().map(|row| (row.action, row.state, row.detail)).collect()
    }
}

fn bottle(faults: impl IntoIterator<Item = Fault>) -> Arc<Bottle> {
    let bottle = Bottle::default();
    bottle.faults.lock().unwrap().extend(faults);
    Arc::new(bottle)
}

#[tokio::test]
async fn what_fails_is_tried_again_and_said_each_time() {
    let scene = Scene::new().await;
    scene.order(Policy::Freeze).await;
    let bottle = bottle([Fault::Passing, Fault::Passing]);
    scene.enforcer.finish(&scene.run, &*bottle).await.unwrap();
    assert_eq!(scene.rows().await, [(Action::Freeze, EnforcementState::Done, "done".to_owned())]);
    let heard = scene.heard.0.lock().unwrap().clone();
    assert_eq!(heard, ["freeze", "freeze failed: the engine is away", "freeze failed: the engine is away"]);
}

#[tokio::test]
async fn what_cannot_be_mended_is_given_up_at_once() {
    let scene = Scene::new().await;
    scene.order(Policy::Kill).await;
    scene.enforcer.finish(&scene.run, &*bottle([Fault::Lasting])).await.unwrap();
    let said = "given up, egress is cut off: nobody can".to_owned();
    assert_eq!(scene.rows().await, [(Action::Kill, EnforcementState::Failed, said)]);
}

#[tokio::test]
async fn what_a_crash_left_begun_is_done_again_by_the_next() {
    let scene = Scene::new().await;
    scene.order(Policy::Freeze).await;
    let hanging = bottle([Fault::Hanging]);
    let dying = scene.enforcer.finish(&scene.run, &*hanging);
    tokio::time::timeout(Duration::from_millis(100), dying).await.unwrap_err();
    assert_eq!(scene.rows().await[0].1, EnforcementState::Started);
    let (next, bottle) = (Enforcer::new(scene.ledger.clone(), Box::new(Heard::default())), bottle([]));
    next.finish(&scene.run, &*bottle).await.unwrap();
    assert_eq!(scene.rows().await, [(Action::Freeze, EnforcementState::Done, "done".to_owned())]);
    assert_eq!(*bottle.done.lock().unwrap(), [Action::Freeze]);
}

#[tokio::test]
async fn a_kill_does_not_wait_for_a_freeze_that_fails() {
    let scene = Scene::new().await;
    scene.order(Policy::Freeze).await;
    // Far more often than there is time for.
    let bottle = bottle((0..100).map(|_| Fault::Passing));
    scene.enforcer.take_up(&scene.run, bottle.clone());
    while bottle.done.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bottle.faults.lock().unwrap().clear();
    bottle.faults.lock().unwrap().push_back(Fault::Passing);
    scene.order(Policy::Kill).await;
    scene.enforcer.finish(&scene.run, &*bottle).await.unwrap();
    let rows = scene.rows().await;
    assert_eq!(rows[1].0, Action::Kill);
    assert_eq!(rows[1].1, EnforcementState::Done);
    assert_eq!(bottle.done.lock().unwrap().last(), Some(&Action::Kill), "nothing is done about what is dead");
    assert!(matches!(rows[0].1, EnforcementState::Done | EnforcementState::Failed), "{rows:?}");
}

#[tokio::test]
async fn two_never_act_on_one_run_at_once() {
    let scene = Scene::new().await;
    scene.order(Policy::Freeze).await;
    let bottle = bottle([]);
    for _ in 0..20 {
        scene.enforcer.take_up(&scene.run, bottle.clone());
    }
    scene.enforcer.finish(&scene.run, &*bottle).await.unwrap();
    assert_eq!(*bottle.done.lock().unwrap(), [Action::Freeze]);
}
