"""Problems: labelled questions, one TOML file each; `builtin/` holds those that come along."""
