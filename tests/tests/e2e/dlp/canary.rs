//! Canaries: whoever sends one has read what is not for them, and is stopped, whatever the route says.

use std::time::Duration;

use super::Scene;
use crate::raw;

const CANARY: &str = "WILLOW_HARBOR_83kd92mf";

fn scene(route: &str, on_canary: &str) -> Scene {
    let settings = format!("dlp: {{canary_file: canaries.env, on_canary: {on_canary}}}\n");
    Scene::with(route, &settings, |setting| {
        let setting = setting.file("canaries.env", &format!("BACKUP={CANARY}\n"));
        let file = setting.world.home().join("canaries.env");
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("it is ours");
        setting
    })
}

#[test]
fn a_canary_is_blocked_on_every_route_and_stops_the_bottle() {
    for route in [
        "    outbound_on_match: warn\n",
        "    outbound_on_match: redact\n",
        "    dlp: {outbound_detectors: false}\n",
    ] {
        let scene = scene(route, "cutoff");
        scene.post("nothing").passed();
        let answer = scene.post(&format!("look: {CANARY}")).refused(403, "dlp_blocked");
        assert!(!answer.text().contains("canary_file") && !answer.text().contains("BACKUP"), "{answer}");
        assert!(!scene.leaked(CANARY));
        let event = scene.stage.event("canary_tripped");
        assert_eq!((&event["bottle"], &event["policy"]), (&"ci".into(), &"cutoff".into()), "{event}");
        // From then on nothing leaves.
        scene.post("nothing").refused(403, "bottle_cut_off").says("canary");
        scene.stage.hudson(&["bottle", "resume", "ci"]).exited(0);
        raw::wait_until(Duration::from_secs(5), || (scene.post("nothing").status == 200).then_some(()))
            .expect("it is resumed");
    }
}

#[test]
fn a_canary_in_a_long_upload_stops_the_bottle_too() {
    let scene = scene("    outbound_on_match: warn\n", "kill");
    let filler = "words of no meaning at all\n".repeat(60_000);
    let settings = "dlp: {canary_file: canaries.env, on_canary: kill, buffer_limit: 65536}\n";
    scene.stage.world.configure("settings.yml", settings);
    scene.stage.signal(rustix::process::Signal::HUP);
    scene.stage.event("configuration_reloaded");
    scene.ask("POST", "/", "", format!("{filler}{CANARY}{filler}").as_bytes()).refused(403, "dlp_blocked");
    assert!(!scene.leaked(CANARY));
    assert_eq!(scene.stage.event("canary_tripped")["policy"], "kill");
}
