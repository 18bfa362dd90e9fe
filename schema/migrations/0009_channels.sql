-- What channels have shown people of approvals, and what was heard from them. Every statement may meet what it makes, so
-- that it does not matter which other migrations come before.

-- A message that shows an approval, in the service's own words for it: to be changed, and to be recognised.
CREATE TABLE IF NOT EXISTS notify_messages (
    approval_id TEXT NOT NULL,
    channel     TEXT NOT NULL,
    message     TEXT NOT NULL,
    sent_at     INTEGER NOT NULL,
    PRIMARY KEY (approval_id, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notify_messages_sent ON notify_messages (sent_at);

-- How far a service was heard that is asked for what there is, and why it is not heard.
CREATE TABLE IF NOT EXISTS notify_cursors (
    source   TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL DEFAULT 0,
    moved_at INTEGER NOT NULL DEFAULT 0,
    fault    TEXT NOT NULL DEFAULT '',          -- '' while it is heard
    since    INTEGER NOT NULL                   -- of the fault
) STRICT, WITHOUT ROWID;

-- Answers that were heard, each once.
CREATE TABLE IF NOT EXISTS notify_nonces (
    nonce TEXT NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL                      -- from when on it would be too old to be heard
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notify_nonces_until ON notify_nonces (until);

-- How often people were told of a bottle's requests in the hour that began at `since`.
CREATE TABLE IF NOT EXISTS notify_quotas (
    bottle   TEXT NOT NULL PRIMARY KEY,
    since    INTEGER NOT NULL,
    told     INTEGER NOT NULL,
    summed   INTEGER NOT NULL                   -- whether what is above was told together
) STRICT, WITHOUT ROWID;

-- Requests that nobody was told of one by one; nor of what becomes of them.
CREATE TABLE IF NOT EXISTS notify_withheld (
    approval_id TEXT NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notify_withheld_at ON notify_withheld (at);

-- Which channels a request was for.
CREATE INDEX IF NOT EXISTS notify_outbox_requests ON notify_outbox (payload ->> '$.approval.id')
    WHERE kind = 'approval_requested';
