"""Int8: graphs quantised by a tool, and proved near enough to float32."""
