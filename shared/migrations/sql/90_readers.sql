-- What the console and the auditor may read: run last, when all tables and views exist.

-- The console reads its views and nothing else. The auditor, the role of `verify`, reads
-- everything but secrets.
GRANT USAGE ON SCHEMA fee_realizer, scheduler, invoicer, arg_sync TO console, auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA fee_realizer, scheduler, invoicer, arg_sync TO auditor;
REVOKE SELECT ON arg_sync.secret FROM auditor;
DO $$
DECLARE console_view text;
BEGIN
  FOR console_view IN
    SELECT format('%I.%I', schemaname, viewname) FROM pg_views
    WHERE schemaname IN ('fee_realizer', 'scheduler', 'invoicer', 'arg_sync')
        AND viewname LIKE 'console\_%'
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO console', console_view);
  END LOOP;
END $$;
