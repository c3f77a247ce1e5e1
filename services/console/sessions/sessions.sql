-- name: lock
-- Two processes that make the tables at the same time wait for each other.
SELECT pg_advisory_xact_lock(7310002)

-- name: tables
-- Made by the console itself, whose login alone owns this schema. Times are instants.
CREATE TABLE IF NOT EXISTS console.local_user (
  person text PRIMARY KEY, password_hash text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS console.sign_in_link (
  token_sha256 bytea PRIMARY KEY, person text NOT NULL, expires_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS console.browser_session (
  token_sha256 bytea PRIMARY KEY, person text NOT NULL, csrf_token text NOT NULL,
  address text NOT NULL, started_at timestamptz NOT NULL DEFAULT now(),
  used_at timestamptz NOT NULL DEFAULT now());
-- The ID token of a session, to sign out at the OpenID provider, too.
ALTER TABLE console.browser_session ADD COLUMN IF NOT EXISTS id_token text NOT NULL DEFAULT '';
-- Sign-ins that are on their way at the OpenID provider.
CREATE TABLE IF NOT EXISTS console.openid_sign_in (
  state_sha256 bytea PRIMARY KEY, nonce text NOT NULL, code_verifier text NOT NULL,
  redirect_uri text NOT NULL, next_path text NOT NULL, expires_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS console.sign_in (
  sign_in_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  attempted_at timestamptz NOT NULL DEFAULT now(), person text NOT NULL, address text NOT NULL,
  way text NOT NULL, outcome text NOT NULL);
CREATE INDEX IF NOT EXISTS sign_in_person ON console.sign_in (person, attempted_at);
CREATE INDEX IF NOT EXISTS sign_in_address ON console.sign_in (address, attempted_at)

-- name: use_session
-- The session of a token, if it has not ended; its use is noted at most once a minute.
WITH found AS (
  SELECT token_sha256, person, csrf_token, used_at FROM console.browser_session
  WHERE token_sha256 = $1 AND used_at > now() - $2::interval AND started_at > now() - $3::interval
), noted AS (
  UPDATE console.browser_session s SET used_at = now() FROM found f
  WHERE s.token_sha256 = f.token_sha256 AND f.used_at < now() - interval '1 minute')
SELECT person, csrf_token FROM found

-- name: failures
-- Failed sign-ins of a person, and from an address, within the window.
SELECT count(*) FILTER (WHERE person = $1) AS of_person,
  count(*) FILTER (WHERE address = $2) AS of_address
FROM console.sign_in
WHERE (person = $1 OR address = $2) AND outcome = 'refused' AND attempted_at > now() - $3::interval

-- name: forget_ended
-- Sessions and links that have ended, and the record of sign-ins after 400 days.
WITH sessions AS (DELETE FROM console.browser_session
    WHERE used_at < now() - $1::interval OR started_at < now() - $2::interval),
  links AS (DELETE FROM console.sign_in_link WHERE expires_at < now()),
  on_their_way AS (DELETE FROM console.openid_sign_in WHERE expires_at < now())
DELETE FROM console.sign_in WHERE attempted_at < now() - interval '400 days'

-- name: sessions
-- Sessions that have not ended, of one person if one is named; the id is a part of the hash.
SELECT left(encode(token_sha256, 'hex'), 16) AS session_id, person, address, started_at, used_at
FROM console.browser_session
WHERE ($1::text IS NULL OR person = $1) AND used_at > now() - $2::interval
  AND started_at > now() - $3::interval
ORDER BY used_at DESC, started_at DESC LIMIT $4

-- name: end_sessions
-- End the sessions of a person, or the one with this id.
DELETE FROM console.browser_session
WHERE person = $1 AND ($2::text IS NULL OR left(encode(token_sha256, 'hex'), 16) = $2)
RETURNING 1

-- name: record
-- A line in the record of sign-ins.
INSERT INTO console.sign_in (person, address, way, outcome) VALUES ($1, $2, $3, $4)

-- name: sign_ins
-- The record of sign-ins, of one person if one is named, the newest first.
SELECT sign_in_no, attempted_at, person, address, way, outcome FROM console.sign_in
WHERE ($1::text IS NULL OR person = $1) AND ($2::bigint IS NULL OR sign_in_no < $2)
ORDER BY sign_in_no DESC LIMIT $3

-- name: begin_openid
-- A sign-in that is on its way at the OpenID provider; those that are too old go.
WITH forgotten AS (DELETE FROM console.openid_sign_in WHERE expires_at < now())
INSERT INTO console.openid_sign_in
  (state_sha256, nonce, code_verifier, redirect_uri, next_path, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval)

-- name: take_openid
-- Use up the sign-in of a state.
DELETE FROM console.openid_sign_in WHERE state_sha256 = $1 AND expires_at > now()
RETURNING nonce, code_verifier, redirect_uri, next_path
