"""One container of a unit on the processor time that its machine leaves over."""
