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
  links AS (DELETE FROM console.sign_in_link WHERE expires_at < now())
DELETE FROM console.sign_in WHERE attempted_at < now() - interval '400 days'
