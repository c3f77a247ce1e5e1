"""The billto hierarchy: nodes, what the ATS ever said of them, and the one SQL that finds who is invoiced for a node.

The lowest node with a non-empty Account Name wins (domain rules 9). A parent may be unknown for a while; one that is not of a
higher level (a lower number: company 1, client 2, office 3) is ignored, so a path has three nodes at most and no circle.
Its twin for people and tests is `rules.billto.resolve`.
"""

RESOLVED_NODE_SQL = """
SELECT n.node_id,
       CASE WHEN n.account_name <> '' THEN n.node_id WHEN p.account_name <> '' THEN p.node_id WHEN g.account_name <> '' THEN g.node_id END AS debtor_node,
       CASE WHEN n.account_name <> '' THEN n.level WHEN p.account_name <> '' THEN p.level WHEN g.account_name <> '' THEN g.level END AS debtor_level,
       coalesce(nullif(n.account_name, ''), nullif(p.account_name, ''), nullif(g.account_name, '')) AS account_name
FROM invoicer.billto_node n
LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id AND p.level < n.level
LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level"""
"""One row a node: node_id, debtor_node, debtor_level, account_name (all NULL where no node of the path has an Account Name)."""
