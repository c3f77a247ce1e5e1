-- One login for each service; none owns a table. An administrator makes them before
-- (`shared.migrations.logins`).
CREATE SCHEMA fee_realizer;
CREATE SCHEMA scheduler;
CREATE SCHEMA invoicer;
CREATE SCHEMA arg_sync;
GRANT USAGE ON SCHEMA fee_realizer, scheduler, invoicer, arg_sync TO fee_realizer, scheduler,
    invoicer, arg_sync;

-- Tables that every service has in its own schema: messages to publish, records that could not be
-- read, and the commands that it carried out.
DO $$
DECLARE service text;
BEGIN
  FOREACH service IN ARRAY ARRAY['fee_realizer', 'scheduler', 'invoicer', 'arg_sync'] LOOP
    EXECUTE format($t$
      CREATE TABLE %1$I.outbox (
        kind text NOT NULL, id text NOT NULL,
        PRIMARY KEY (kind, id));
      CREATE TABLE %1$I.dead_letter (
        dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL, partition_no integer NOT NULL, record_offset bigint NOT NULL,
            sha256 bytea NOT NULL,
        -- Of key, value and headers the first 64 kB; length and SHA-256 are of the whole value.
        record_key bytea, record_value bytea, headers jsonb NOT NULL,
        value_length bigint, value_sha256 bytea,
        -- When the broker received the record; NULL where only its sender says so.
        appended_at timestamptz,
        code text NOT NULL, message text NOT NULL,
        state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
        closed_by text, closed_reason text, closed_at timestamptz,
        received_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (topic, partition_no, record_offset, sha256));
      -- Partitions that a consumer does not read on; continue_at is set by a command and carried
      -- out by the replica that has the partition.
      CREATE TABLE %1$I.stopped_partition (
        topic text NOT NULL, partition_no integer NOT NULL,
        record_offset bigint NOT NULL, following_offset bigint NOT NULL,
        code text NOT NULL CHECK (code IN ('undecodable', 'too_many_unreadable')),
        message text NOT NULL, stopped_at timestamptz NOT NULL DEFAULT now(),
        continue_at bigint,
        PRIMARY KEY (topic, partition_no));
      CREATE TABLE %1$I.command (
        command_id text PRIMARY KEY,
        command text NOT NULL, billing_company text NOT NULL DEFAULT '',
        actor text NOT NULL, reason text NOT NULL, body jsonb NOT NULL, body_sha256 bytea NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('accepted', 'refused')),
        result jsonb NOT NULL,
        before jsonb, after jsonb,
        subjects text[] NOT NULL DEFAULT '{}',
        -- The key that signed it, its program, and where that says it is; empty if not signed.
        key_id text NOT NULL DEFAULT '', program text NOT NULL DEFAULT '',
        client text NOT NULL DEFAULT '',
        answered_at timestamptz NOT NULL DEFAULT now());
      CREATE INDEX command_subjects ON %1$I.command USING gin (subjects);
      -- Commands that were refused because of their signature, key or permission, one row for each
      -- record. They do not use up the command id. Actor, key and client are what the record says.
      CREATE TABLE %1$I.refused_command (
        partition_no integer NOT NULL, record_offset bigint NOT NULL, value_sha256 bytea NOT NULL,
        command_id text NOT NULL, command text NOT NULL, actor text NOT NULL, reason text NOT NULL,
        key_id text NOT NULL, program text NOT NULL, client text NOT NULL,
        result jsonb NOT NULL, subjects text[] NOT NULL,
        appended_at timestamptz, answered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (partition_no, record_offset, value_sha256));
      CREATE INDEX refused_command_subjects ON %1$I.refused_command USING gin (subjects);
      CREATE TABLE %1$I.command_conflict (
        command_id text NOT NULL, body_sha256 bytea NOT NULL, result jsonb NOT NULL,
        answered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (command_id, body_sha256));
      -- Workers of whom names and contact data were removed, with who asked for it and why. Views
      -- show `shown_as` in place of the id.
      CREATE TABLE %1$I.forgotten_worker (
        worker_id text PRIMARY KEY, shown_as text NOT NULL, actor text NOT NULL,
        reason text NOT NULL, command_id text NOT NULL,
        forgotten_at timestamptz NOT NULL DEFAULT now());
      GRANT SELECT, INSERT, UPDATE, DELETE ON %1$I.outbox, %1$I.stopped_partition TO %1$I;
      GRANT SELECT, INSERT ON %1$I.command, %1$I.command_conflict, %1$I.forgotten_worker,
          %1$I.refused_command, %1$I.dead_letter TO %1$I;
      GRANT UPDATE (state, closed_by, closed_reason, closed_at, record_key, record_value, headers)
          ON %1$I.dead_letter TO %1$I;
      GRANT UPDATE (body) ON %1$I.command TO %1$I;  -- a replayed value that names such a worker
    $t$, service);
  END LOOP;
END $$;
