"""Find and count rule events by class, zone and confidence.

Only functions change, so no table is locked or rewritten. The generated columns ``class_names`` and ``zones`` do not
change (they are NULL for a rule event), and a query by class or zone reads a rule event's ``event_data``. Stored rule
events exist only after a downgrade, because earlier releases rejected them.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from typing import LiteralString

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.db.migrations.versions.r0005_confidence_counts import counting_function, label_counting

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_CONFIDENCE: LiteralString = """
CREATE OR REPLACE FUNCTION event_confidence(event_type text, event_data jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE event_type
        WHEN 'tracking' THEN (event_data -> 'confidence')::double precision
        WHEN 'anpr' THEN (event_data #> '{anpr_result,confidence}')::double precision
        WHEN 'detection' THEN (SELECT max((found -> 'confidence')::double precision)
                               FROM jsonb_array_elements(event_data -> 'detections') AS found){rule}
    END
$$;
"""
_RULE_CONFIDENCE: LiteralString = """
        WHEN 'rule' THEN (event_data ->> 'confidence')::double precision  -- as text: it may be null in JSON"""

_RULE_LABELS: LiteralString = """
        UNION ALL
        SELECT found.kind, found.label, confidence, "timestamp", camera_id, event_type, site_id
        FROM changed, LATERAL (
            VALUES ('class', event_data ->> 'class_name'), ('zone', event_data ->> 'zone')
        ) AS found (kind, label)
        WHERE event_type = 'rule' AND found.label IS NOT NULL"""

_FROM_RULES: LiteralString = "FROM (SELECT * FROM events WHERE event_type = 'rule') AS changed"

_FORGET: LiteralString = """
DELETE FROM event_label_counts WHERE event_type = 'rule';
DELETE FROM event_label_counts_daily WHERE event_type = 'rule';
DELETE FROM event_label_counts_monthly WHERE event_type = 'rule';
"""


def upgrade() -> None:
    run_sql(_CONFIDENCE.replace("{rule}", _RULE_CONFIDENCE))
    run_sql(counting_function(more_labels=_RULE_LABELS))
    known = label_counting(more_labels=_RULE_LABELS).replace("FROM changed", _FROM_RULES).replace("sign *", "1 *")
    run_sql(known)


def downgrade() -> None:
    run_sql(counting_function())
    run_sql(_FORGET)
    run_sql(_CONFIDENCE.replace("{rule}", ""))
