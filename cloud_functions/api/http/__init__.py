"""HTTP without any resource: problems, responses, parameters, limits, documentation pages. Knows no resource."""
