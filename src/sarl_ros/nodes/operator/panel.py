"""The operator's buttons as people reach them: services, a joystick topic, and the topic that says which are armed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from sarl_interfaces.msg import Buttons
from sarl_interfaces.srv import Press
from sarl_ros.core.episode_events import Button
from sarl_ros.core.joy_edges import JoyEdges
from sarl_ros.ros import topics

ANONYMOUS = "service"
RESERVED = "auto"
MAX_SOURCE_CHARACTERS = 40
HOLD_IS_DOWN = "hold is still down on that device: let it go first"
Answer = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class _Pressed:
    button: Button
    at_s: float
    answer: Answer


class Panel:
    """Takes presses for `press`, which returns whether one was accepted and what it led to, or why not. It is given the
    button, the source, and why the press must have no effect, mostly nothing.

    Args:
        joy_buttons: names of buttons by index in `sensor_msgs/Joy`; an empty name is no button.
        double_press_s: the same button again from the same source within this time is the same press.
        is_held: whether the arm is on hold; a hold is never taken for a double press unless it is, nor a clear while it
            is.
        steady_s: the steady clock [s].

    Raises:
        ValueError: `joy_buttons` names what is no button.
    """

    def __init__(
        self,
        node: Node,
        run: str,
        joy_buttons: Sequence[str],
        double_press_s: float,
        press: Callable[[Button, str, str], Answer],
        is_held: Callable[[], bool],
        steady_s: Callable[[], float],
        group: CallbackGroup,
    ) -> None:
        self._node, self._run, self._press, self._is_held = node, run, press, is_held
        self._double_press_s, self._steady_s = double_press_s, steady_s
        self._joy_buttons = [Button(name) if name else None for name in joy_buttons]
        self._joy = JoyEdges()
        self._last: dict[str, _Pressed] = {}
        self._shown: Mapping[Button, str] | None = None
        self._buttons = node.create_publisher(Buttons, topics.BUTTONS, topics.LATCHED)
        node.create_service(Press, topics.PRESS, self._on_press, callback_group=group)
        for button in Button:
            node.create_service(Trigger, f"/operator/{button}", partial(self._on_trigger, button), callback_group=group)
        node.create_subscription(Joy, topics.JOY, self._on_joy, topics.STREAM, callback_group=group)

    def show(self, refusals: Mapping[Button, str]) -> None:
        """Publish why each button would be refused now, empty for armed ones, if that has changed."""
        if refusals == self._shown:
            return
        self._shown = dict(refusals)
        message = Buttons(run=self._run, name=[str(button) for button in refusals])
        message.armed = [not why for why in refusals.values()]
        message.why = list(refusals.values())
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._buttons.publish(message)

    def _on_press(self, request: Press.Request, response: Press.Response) -> Press.Response:
        response.accepted, response.detail = self._named(request.button, request.source)
        return response

    def _named(self, name: str, source: str) -> Answer:
        try:
            button = Button(name)
        except ValueError:
            return False, f"there is no button {name[:MAX_SOURCE_CHARACTERS]!r}: press one of {', '.join(Button)}"
        source = source or ANONYMOUS
        if source == RESERVED or len(source) > MAX_SOURCE_CHARACTERS or not source.isprintable():
            return False, f"the source of a press is a short name such as console or joy, and not {RESERVED!r}"
        return self._once(button, source)

    def _on_trigger(self, button: Button, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._once(button, ANONYMOUS)
        return response

    def _on_joy(self, message: Joy) -> None:
        """A hold that goes down, or is found down, is worked off alone, whatever goes down with it.

        It may have gone down while no operator was there to hear it.
        """
        device = message.header.frame_id
        known, holds = self._joy.heard(device), self._holds(message)
        pressed = [self._joy_button(index) for index in self._joy.pressed(device, message.buttons)]
        if Button.HOLD in pressed or (holds and not known):
            pressed = [Button.HOLD]
        for button in pressed:
            if button is not None:
                self._once(button, "joy", HOLD_IS_DOWN if button == Button.CLEAR and holds else "")

    def _holds(self, message: Joy) -> bool:
        return any(down and self._joy_button(index) == Button.HOLD for index, down in enumerate(message.buttons))

    def _joy_button(self, index: int) -> Button | None:
        return self._joy_buttons[index] if index < len(self._joy_buttons) else None

    def _lasts(self, button: Button) -> bool:
        """Whether a press a moment ago still has its effect; a hold or a clear may have been undone, or refused."""
        match button:
            case Button.HOLD:
                return self._is_held()
            case Button.CLEAR:
                return not self._is_held()
            case _:
                return True

    def _once(self, button: Button, source: str, blocked: str = "") -> Answer:
        """Press, or give a double press the answer of the first."""
        now_s, last = self._steady_s(), self._last.get(source)
        repeated = last is not None and last.button == button and now_s - last.at_s < self._double_press_s
        if last is not None and repeated and self._lasts(button):
            return last.answer
        answer = self._press(button, source, blocked)
        self._last[source] = _Pressed(button, now_s, answer)
        return answer
