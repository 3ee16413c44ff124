"""How streams are, for whoever asks from outside: health, metrics, an HTTP server for both, and pings (P7)."""
