"""Vision-language-action models: observation and prompt in, a chunk of actions out."""
