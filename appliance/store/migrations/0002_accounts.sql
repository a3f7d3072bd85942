-- People who may see the page, their sessions, and the codes that let somebody in once.

CREATE TABLE users (
    id                   INTEGER PRIMARY KEY,
    name                 TEXT    NOT NULL,
    folded_name          TEXT    NOT NULL UNIQUE, -- what is compared: "Aki" and "aki" are one user
    password             TEXT    NOT NULL,        -- Argon2id, as a PHC string
    created_at           INTEGER NOT NULL,
    password_changed_at  INTEGER NOT NULL,
    signed_in_at         INTEGER
) STRICT;

CREATE TABLE sessions (
    sha256      BLOB    PRIMARY KEY,              -- of the cookie's value
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE one_time_codes (
    sha256      BLOB    PRIMARY KEY,
    user_id     INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: makes the first user
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX one_time_codes_by_user ON one_time_codes (user_id);
