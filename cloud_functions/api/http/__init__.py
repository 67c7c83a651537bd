"""HTTP without any resource: problems, responses, parameters, limits, middleware. Imports no other API folder."""
