"""Two roles and the policies that keep tenants apart.

`callwright_tenant` may only read, and only what the actor of the transaction may see. `callwright_system` reads and
writes, but can neither change nor delete the append-only tables. Neither owns a table, so policies bind both.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_entries", "call_events")
SYSTEM_ONLY = ("outbox", "webhook_inbox")
OF_A_CALL = ("call_attempts", "call_events", "transcript_turns", "call_summaries", "recordings")

ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'callwright_tenant') THEN
        CREATE ROLE callwright_tenant NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'callwright_system') THEN
        CREATE ROLE callwright_system NOLOGIN;
    END IF;
    EXECUTE format('GRANT callwright_tenant, callwright_system TO %I', current_user);
END $$
"""

# SECURITY DEFINER: the owner is not bound by the policies, so a policy may ask these without asking itself.
FUNCTIONS = """
CREATE FUNCTION actor_id() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('callwright.actor_id', true), '')::uuid $$;
CREATE FUNCTION actor_is(wanted text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT current_setting('callwright.actor_role', true) = wanted
           AND EXISTS (SELECT FROM users WHERE id = actor_id() AND role = wanted AND disabled_at IS NULL) $$;
CREATE FUNCTION actor_business_ids() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT CASE WHEN actor_is('business')
           THEN ARRAY(SELECT business_id FROM memberships WHERE user_id = actor_id()) ELSE '{}' END $$;
CREATE FUNCTION actor_consumer_ids() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT CASE WHEN actor_is('consumer')
           THEN ARRAY(SELECT id FROM consumers WHERE user_id = actor_id()) ELSE '{}' END $$;
CREATE FUNCTION actor_numbers() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT ARRAY(SELECT phone_number FROM consumers WHERE id = ANY (actor_consumer_ids())) $$;
CREATE FUNCTION actor_customer_ids() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT ARRAY(SELECT DISTINCT consumer_id FROM leads WHERE business_id = ANY (actor_business_ids())) $$;
CREATE FUNCTION actor_supplier_ids() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
    $$ SELECT ARRAY(SELECT DISTINCT business_id FROM leads WHERE consumer_id = ANY (actor_consumer_ids())) $$;
"""
FUNCTION_NAMES = (
    "actor_supplier_ids",
    "actor_customer_ids",
    "actor_numbers",
    "actor_consumer_ids",
    "actor_business_ids",
)

# (SELECT f()) makes Postgres call the function once a statement instead of once a row.
ADMIN = "(SELECT actor_is('admin'))"
BUSINESSES = "ANY ((SELECT actor_business_ids())::uuid[])"
CONSUMERS = "ANY ((SELECT actor_consumer_ids())::uuid[])"
VISIBLE = {
    "plans": "true",
    "users": f"id = (SELECT actor_id()) OR {ADMIN}",
    "businesses": f"{ADMIN} OR id = {BUSINESSES} OR id = ANY ((SELECT actor_supplier_ids())::uuid[])",
    "memberships": f"{ADMIN} OR business_id = {BUSINESSES}",
    "usage": f"{ADMIN} OR business_id = {BUSINESSES}",
    "api_tokens": "user_id = (SELECT actor_id())",
    "consumers": f"{ADMIN} OR id = {CONSUMERS} OR id = ANY ((SELECT actor_customer_ids())::uuid[])",
    "leads": f"{ADMIN} OR business_id = {BUSINESSES} OR consumer_id = {CONSUMERS}",
    "consents": f"{ADMIN} OR business_id = {BUSINESSES} OR consumer_id = {CONSUMERS}",
    "suppressions": f"{ADMIN} OR business_id = {BUSINESSES} OR phone_number = ANY ((SELECT actor_numbers())::text[])",
    "calls": f"{ADMIN} OR business_id = {BUSINESSES} OR consumer_id = {CONSUMERS}",
    "audit_entries": f"{ADMIN} OR business_id = {BUSINESSES}",
    # The subquery on calls is itself fenced by the policy of calls. What a call cost is not the consumer's to see.
    "cost_items": f"{ADMIN} OR EXISTS "
    f"(SELECT FROM calls WHERE calls.id = call_id AND calls.business_id = {BUSINESSES})",
    **{table: f"EXISTS (SELECT FROM calls WHERE calls.id = {table}.call_id)" for table in OF_A_CALL},
}


def upgrade() -> None:
    op.execute(ROLES)
    op.execute(FUNCTIONS)
    op.execute("GRANT USAGE ON SCHEMA public TO callwright_tenant, callwright_system")
    for table in (*VISIBLE, *SYSTEM_ONLY):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        rights = "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
        op.execute(f"GRANT {rights} ON {table} TO callwright_system")
        op.execute(f"CREATE POLICY system ON {table} TO callwright_system USING (true) WITH CHECK (true)")
    for table, condition in VISIBLE.items():
        op.execute(f"GRANT SELECT ON {table} TO callwright_tenant")
        op.execute(f"CREATE POLICY tenant ON {table} FOR SELECT TO callwright_tenant USING ({condition})")


def downgrade() -> None:
    for table in VISIBLE:
        op.execute(f"DROP POLICY tenant ON {table}")
    for table in (*VISIBLE, *SYSTEM_ONLY):
        op.execute(f"DROP POLICY system ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM callwright_tenant, callwright_system")
    for function in FUNCTION_NAMES:
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP FUNCTION actor_is(text)")
    op.execute("DROP FUNCTION actor_id()")
    op.execute("REVOKE USAGE ON SCHEMA public FROM callwright_tenant, callwright_system")
