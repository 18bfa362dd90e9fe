//! A person at a terminal, with the container at the other end.

use super::scene::Scene;

/// Plays the person: sees, types, changes the size of the window, interrupts.
const PERSON: &str = r#"
import fcntl, os, pty, select, struct, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def size(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
shown = b""
def until(text, seconds=60):
    global shown
    end = time.time() + seconds
    while text not in shown:
        if time.time() > end:
            sys.exit("never shown: %r; but: %r" % (text, shown))
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                sys.exit("ended before %r; but: %r" % (text, shown))
    shown = shown[shown.index(text) + len(text):]
size(31, 97)
until(b"ready\r\n")
os.write(terminal, b"size\n"); until(b"31 97")
size(22, 66)
time.sleep(0.5)
os.write(terminal, b"size\n"); until(b"22 66")
os.write(terminal, b"\x10one\n"); until(b"got"); until(b"one")
os.write(terminal, b"\x03"); until(b"interrupted\r\n")
until(b"no tokens were used\r\n")
_, status = os.waitpid(pid, 0)
sys.exit(0 if os.waitstatus_to_exitcode(status) == 7 else "ended with %d" % status)
"#;

const AGENT: &str = "trap 'echo interrupted; exit 7' INT; test -t 0 && test -t 1 || exit 3; echo ready
while :; do read -r line; case \"$line\" in size) stty size;; *) echo \"got $line\";; esac; done";

#[test]
fn a_person_types_changes_the_window_and_interrupts() {
    let scene = Scene::new();
    let command = scene.bottle(&[], &["sh", "-c", AGENT]);
    let python = hudson_tests::Clients::installed().root().join("python/bin/python").display().to_string();
    let mut person = hudson_tests::clients::clean(&python);
    person.args(["-c", PERSON]).arg(command.get_program()).args(command.get_args());
    person.current_dir(scene.at("home/project"));
    for (name, value) in command.get_envs() {
        person.env(name, value.unwrap_or_default());
    }
    scene.finish(&mut person).exited(0);
    scene.nothing_is_left();
}
