"""Images serialized by hand are what rclpy makes of them."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from sarl_ros.ros.cdr import image_cdr
from sarl_ros.ros.convert import image_to


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "abcd", "camera_front_color_optical_frame"])
@pytest.mark.parametrize("shape", [(2, 3, 3), (48, 64, 3)])
def test_bytes_read_as_the_message_that_rclpy_makes(frame_id, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = image_to(pixels, 12_345_678_901, frame_id)
    made = image_cdr(pixels, 12_345_678_901, frame_id)
    assert len(made) == len(serialize_message(expected))
    assert deserialize_message(made, Image) == expected


def test_flipped_pixels_arrive_in_order():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)[::-1]
    message = deserialize_message(image_cdr(pixels, 0, "x"), Image)
    assert bytes(message.data) == pixels.tobytes()
