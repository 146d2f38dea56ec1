"""The backend `t5`: encoder-decoders."""
