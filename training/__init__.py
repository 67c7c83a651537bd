"""How the project's own TFLite models were made. Never imported by the product."""
