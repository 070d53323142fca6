"""Drop the include paths of the machine that built the ROS wheels from their CMake exports.

Run with the environment's own Python after pip install; running it twice does no harm.
"""

import pathlib
import re
import sys

BUILDER_PATH = re.compile(r"/(?:opt/python|tmp/build-env)[^;\"]*;?")

for export in pathlib.Path(sys.prefix, "share").glob("*/cmake/*Export.cmake"):
    text = export.read_text()
    mended = BUILDER_PATH.sub("", text)
    if mended != text:
        export.write_text(mended)
