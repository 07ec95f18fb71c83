"""Where files come from: the Hub, its cache, a local folder, a bundled snapshot."""
