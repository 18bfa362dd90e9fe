//! What tools print: lock files, histories, documentation.

use super::Dice;
use super::code::NOUNS;

/// A part of a lock file of one of five package managers.
pub(super) fn lock_file(dice: &mut Dice) -> String {
    let entry = [yarn, pnpm, cargo, go_sum, uv][dice.below(5)];
    (0..40 + dice.below(60)).map(|_| entry(dice)).collect()
}

/// `git log --raw --no-abbrev`, and plain logs.
pub(super) fn git_log(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..30 + dice.below(60) {
        let (noun, other) = (dice.pick(NOUNS), dice.pick(NOUNS));
        out.push_str(&format!(
            "commit {}\nAuthor: Dev <dev@example.com>\nDate:   Mon Nov 3 10:{:02}:11 2025 +0100\n\n    {noun}: rotate the {other} token key\n\n",
            dice.hex(40),
            dice.below(60)
        ));
        for _ in 0..dice.below(6) {
            let (from, to) = (dice.hex(40), dice.hex(40));
            out.push_str(&format!(":100644 100644 {from} {to} M\tsrc/{noun}/{other}_token.rs\n"));
        }
        if dice.below(4) == 0 {
            let (one, other_hash, merge) = (dice.hex(40), dice.hex(40), dice.hex(7));
            out.push_str(&format!(
                "Merge: {merge}\nparent {one}\ntree {other_hash}\ngpgsig sourcegraph/{noun}@sha256:{}\n",
                dice.hex(64)
            ));
        }
    }
    out
}

/// Pages about credentials: the samples that everybody shows, placeholders, variables.
pub(super) fn documentation(dice: &mut Dice) -> String {
    let mut out = String::from("# Authentication\n\n");
    for _ in 0..12 + dice.below(20) {
        let noun = dice.pick(NOUNS);
        let upper = noun.to_ascii_uppercase();
        out.push_str(&match dice.below(12) {
            0 => concat!("```\neyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ", ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c\n```\n").to_owned(),
            1 => format!("Set `{upper}_API_KEY` to your API key: `export {upper}_API_KEY=your-{noun}-api-key`.\n"),
            2 => concat!("aws_access_key_id = AKIAIOSFODNN7", "EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "EXAMPLEKEY\n").to_owned(),
            3 => format!("curl -H \"Authorization: Bearer $TOKEN\" https://api.example.com/v1/{noun}/{}\n", dice.uuid()),
            4 => "Pay with the test card 4242 4242 4242 4242, any date and any CVC.\n".to_owned(),
            5 => format!("DATABASE_URL=postgres://user:password@localhost:5432/{noun}\n"),
            6 => format!("password: ${{{upper}_PASSWORD}}\nsecret: <your-secret>\ntoken: xxxxxxxxxxxxxxxxxxxx\n"),
            7 => format!("The token is kept in the keychain under `{noun}.access_token`; refresh tokens expire after {} days.\n", dice.below(90)),
            8 => format!("ETag: \"{}\"\nX-Request-Id: {}\nx-amz-id-2: {}\n", dice.hex(32), dice.uuid(), dice.base64(48)),
            9 => format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", dice.base64(48)),
            10 => format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} dev@example.com\n", dice.base64_url(32)),
            _ => format!("| `{noun}_key` | string | the key of the {noun}, as in `GET /v1/{noun}?key=<key>` |\n"),
        });
    }
    out
}

fn yarn(dice: &mut Dice) -> String {
    let name = dice.pick(NOUNS);
    format!(
        "{name}-token@^{0}.1.0:\n  version \"{0}.1.3\"\n  resolved \"https://registry.yarnpkg.com/{name}-token/-/{name}-token-{0}.1.3.tgz#{1}\"\n  integrity sha512-{2}\n\n",
        dice.below(20),
        dice.hex(40),
        dice.base64(64)
    )
}

fn pnpm(dice: &mut Dice) -> String {
    let name = dice.pick(NOUNS);
    format!(
        "  /@example/{name}-secrets/{}.0.2:\n    resolution: {{integrity: sha512-{}}}\n    dev: true\n\n",
        dice.below(20),
        dice.base64(64)
    )
}

fn cargo(dice: &mut Dice) -> String {
    let name = dice.pick(NOUNS);
    format!(
        "[[package]]\nname = \"{name}-key\"\nversion = \"{}.4.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n\n",
        dice.below(9),
        dice.hex(64)
    )
}

fn go_sum(dice: &mut Dice) -> String {
    let name = dice.pick(NOUNS);
    format!(
        "github.com/example/{name}-auth v1.{}.0 h1:{}\ngithub.com/example/{name}-auth v1.2.0/go.mod h1:{}\n",
        dice.below(30),
        dice.base64(32),
        dice.base64(32)
    )
}

fn uv(dice: &mut Dice) -> String {
    let name = dice.pick(NOUNS);
    format!(
        "    {{ url = \"https://files.pythonhosted.org/packages/{}/{}/{}/{name}_token-1.{}-py3-none-any.whl\", hash = \"sha256:{}\", size = {} }},\n",
        dice.hex(2),
        dice.hex(2),
        dice.hex(60),
        dice.below(40),
        dice.hex(64),
        dice.below(900_000)
    )
}
