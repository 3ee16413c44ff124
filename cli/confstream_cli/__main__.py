"""``python -m confstream_cli`` does what ``confstream`` does."""

from confstream_cli import main

if __name__ == "__main__":
    main()
