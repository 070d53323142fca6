"""One file a verb of `sarl`.

Each has `HELP`, a line for --help; `add_options(parser)`; and `run(options)`, which returns figures for --json or None.
What only a verb's run needs, such as torch or rclpy, is imported in it: `sarl --help` imports every file here.
"""
