//! Source code in five languages, whose identifiers are about tokens, keys and passwords as real ones are.

use super::Dice;

pub(super) const NOUNS: &[&str] = &[
    "lexer",
    "token",
    "parser",
    "session",
    "account",
    "password",
    "secret",
    "cache",
    "index",
    "request",
    "response",
    "client",
    "stream",
    "cursor",
    "widget",
    "invoice",
    "customer",
    "schema",
    "router",
    "handler",
    "buffer",
    "metric",
    "policy",
    "segment",
    "bundle",
    "project",
    "credential",
    "keyring",
    "hash",
    "digest",
    "registry",
    "shortcut",
    "monday",
    "notion",
    "linear",
    "sentry",
    "grafana",
    "stripe",
];
const PLAIN: &[&str] = &[
    "widget", "row", "column", "offset", "buffer", "page", "item", "message", "path", "line", "result",
    "value", "config", "node", "tree", "child", "width", "height", "event", "state", "window", "task",
    "worker", "queue", "frame", "status", "entry", "query", "table",
];
const VERBS: &[&str] = &[
    "parse", "load", "refresh", "validate", "rotate", "encode", "decode", "merge", "flush", "resolve",
    "issue", "revoke",
];
const TYPES: &[&str] = &["string", "int64", "[]byte", "error", "map[string]string", "*Node", "time.Duration"];

/// A file in one of the languages.
pub(super) fn file(dice: &mut Dice) -> String {
    let language = [go, python, typescript, rust, java][dice.below(5)];
    let mut out = String::new();
    for number in 0..20 + dice.below(60) {
        out.push_str(&format!("{:>6}\t", number * 7 + 1));
        // Every third line is about tokens and keys, which is more than real files have.
        match dice.below(3) {
            0 => out.push_str(&language(dice)),
            _ => out.push_str(&plain(dice)),
        }
        out.push('\n');
    }
    out
}

/// A line of any language about nothing in particular.
fn plain(dice: &mut Dice) -> String {
    let (noun, verb, n) = (dice.pick(PLAIN), dice.pick(VERBS), dice.below(999));
    let other = dice.pick(PLAIN);
    match dice.below(9) {
        0 => String::new(),
        1 => "    }".to_owned(),
        2 => format!(
            "    // {verb} the {noun} before the {other} is written, since the {noun} may have changed."
        ),
        3 => format!("    for ({noun}, {other}) in {noun}s.iter().zip({other}s.iter()) {{"),
        4 => format!("    if {noun}.len() > {n} && !{other}.is_empty() {{ return None; }}"),
        5 => format!("    {noun} := {verb}({other}, {n})"),
        6 => format!("    self.{noun} = {other}.{verb}_all(size={n}, name=\"{noun} {other}\")"),
        7 => format!("    return {noun}.map(({other}) => {other}.{verb}({n})).filter(Boolean);"),
        _ => format!("        {{\"{noun}\": {n}, \"{other}\": \"{verb}\"}},"),
    }
}

/// Code as a bundler leaves it.
pub(super) fn minified(dice: &mut Dice) -> String {
    let mut out = String::from(
        "!function(e,t){\"object\"==typeof exports?module.exports=t():e.lib=t()}(this,(function(){\"use strict\";",
    );
    for _ in 0..400 + dice.below(600) {
        let (noun, verb, n) = (dice.pick(NOUNS), dice.pick(VERBS), dice.below(9999));
        out.push_str(&match dice.below(9) {
            0 => format!("var e{n}=function(t){{return t.{noun}||(t.{noun}=new Map),t.{noun}.get({n})}};"),
            1 => format!("if(!this._{noun}Key)throw new Error(\"{verb} {noun}: missing token\");"),
            2 => format!("n.d(t,\"{noun}\",(function(){{return r{n}}}));"),
            3 => format!("{noun}Token:t,{noun}Key:e,accessToken:this.accessToken,"),
            4 => format!("const s{n}=[0x{},0x{}],", dice.hex(8), dice.hex(8)),
            5 => format!("e.exports=\"data:image/svg+xml;base64,{}\";", dice.base64(120)),
            6 => format!("t.apiKey=t.apiKey||process.env.{}_API_KEY,", noun.to_ascii_uppercase()),
            7 => format!("r.src=n.p+\"{noun}.{}.js\";", dice.hex(20)),
            _ => format!("{noun}.{verb}(\"\\u00e9\\x41\",{n}&&!0);"),
        });
    }
    out
}

fn go(dice: &mut Dice) -> String {
    let (noun, verb, other) = (dice.pick(NOUNS), dice.pick(VERBS), dice.pick(NOUNS));
    match dice.below(7) {
        0 => format!(
            "func (c *Client) {verb}{noun}(ctx context.Context, key string) ({}, error) {{",
            dice.pick(TYPES)
        ),
        1 => format!("\ttoken := c.{noun}.Next() // the {other} token, not the secret"),
        2 => format!(
            "\tif err := s.{verb}(\"{noun}_key\", opts.Password); err != nil && !errors.Is(err, io.EOF) {{ return fmt.Errorf(\"{verb} {noun}: %w\", err) }}"
        ),
        3 => format!("\t{noun}Key = \"{noun}-{other}-{verb}\""),
        4 => format!("import \"github.com/example/{noun}/v{}/pkg/{other}\"", dice.below(9)),
        5 => format!("\tPassword string `json:\"password,omitempty\" yaml:\"{noun}_password\"`"),
        _ => {
            format!("\tcfg.SecretAccessKey = os.Getenv(\"{}_SECRET_ACCESS_KEY\")", noun.to_ascii_uppercase())
        }
    }
}

fn python(dice: &mut Dice) -> String {
    let (noun, verb, other) = (dice.pick(NOUNS), dice.pick(VERBS), dice.pick(NOUNS));
    match dice.below(7) {
        0 => format!("def {verb}_{noun}(self, api_key: str, token: str | None = None) -> dict[str, Any]:"),
        1 => format!("    password = self.{noun}.get_password({other}_id)"),
        2 => format!(
            "    headers = {{\"Authorization\": f\"Bearer {{self.{noun}_token}}\", \"X-Api-Key\": settings.{}_KEY}}",
            noun.to_ascii_uppercase()
        ),
        3 => format!("    assert {noun}.{verb}(tokens[0:{}]) == expected_{other}_tokens", dice.below(99)),
        4 => format!("    {noun}_secret = os.environ[\"{}_CLIENT_SECRET\"]", noun.to_ascii_uppercase()),
        5 => format!(
            "    # TODO: {verb} the {noun} access token before it expires (see PEP {})",
            dice.below(900)
        ),
        _ => format!("    digest = \"{}\"  # sha256 of the {noun} fixture", dice.hex(64)),
    }
}

fn typescript(dice: &mut Dice) -> String {
    let (noun, verb, other) = (dice.pick(NOUNS), dice.pick(VERBS), dice.pick(NOUNS));
    match dice.below(7) {
        0 => format!(
            "export async function {verb}{noun}(secretKey: string, options: {{ {other}: boolean }}): Promise<void> {{"
        ),
        1 => format!(
            "  const apiKey = process.env.{}_API_KEY ?? config.{noun}.apiKey;",
            noun.to_ascii_uppercase()
        ),
        2 => format!("  const accessToken = await this.{noun}Service.{verb}Token({other}Id);"),
        3 => format!("  expect(screen.getByTestId('{noun}-{other}-{}')).toBeVisible();", dice.uuid()),
        4 => format!(
            "  if (!password || password.length < {}) throw new {noun}Error('password too short');",
            dice.below(20)
        ),
        5 => format!(
            "  key: '{noun}.{verb}.{other}', label: t('{noun}.password.label'), token: tokens.{other},"
        ),
        _ => format!("import {{ {verb}{noun} }} from '@example/{other}-sdk/dist/{noun}/{verb}{noun}.js';"),
    }
}

fn rust(dice: &mut Dice) -> String {
    let (noun, verb, other) = (dice.pick(NOUNS), dice.pick(VERBS), dice.pick(NOUNS));
    match dice.below(6) {
        0 => format!(
            "pub fn {verb}_{noun}<'a>(key: &'a str, tokens: &mut Vec<Token<'a>>) -> Result<(), {other}Error> {{"
        ),
        1 => format!("    let secret = SecretString::from(self.{noun}.expose_secret().to_owned());"),
        2 => format!("    const {}_KEY: &str = \"{noun}.{other}.{verb}\";", noun.to_ascii_uppercase()),
        3 => format!("    tracing::debug!(token = ?{noun}.token_kind, %{other}, \"{verb} the {noun}\");"),
        4 => format!("    assert_eq!({noun}.{verb}(b\"password\"), Err({other}::WrongPassword));"),
        _ => format!("    std::sync::Arc::clone(&self.{noun}_{other}_{verb}_handle_registry)"),
    }
}

fn java(dice: &mut Dice) -> String {
    let (noun, verb, other) = (dice.pick(NOUNS), dice.pick(VERBS), dice.pick(NOUNS));
    match dice.below(5) {
        0 => format!(
            "    private static final String {}_TOKEN_KEY = \"{noun}.{other}.token\";",
            noun.to_ascii_uppercase()
        ),
        1 => format!("    this.password = Objects.requireNonNull(password, \"{noun} password\");"),
        2 => format!("    {noun}.setAccessToken({other}Provider.{verb}AccessToken(request.getKey()));"),
        3 => format!("    @Value(\"${{{noun}.client-secret}}\") private String {other}Secret;"),
        _ => format!("    private static final long serialVersionUID = {}L;", dice.next() >> 1),
    }
}
