"""The command line: one file a verb in `cli/verbs`, each offering `VERB`; glue, and nothing but glue."""
