"""The critics' maths, on exact small cases."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarl_ros.core.reward import discount, discounted_return, reward
from sarl_ros.methods.sarl.adam import Adam
from sarl_ros.methods.sarl.critic import CriticEnsemble, critic_loss, crop, soft_policy, soft_value, td_target

ALL = torch.ones(2, dtype=torch.bool)


def critics(prompts=5, count=3, bias=-0.6):
    torch.manual_seed(0)
    return CriticEnsemble(prompts, count, 16, (2, 2, 2, 2), bias)


def states(batch=4):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8, generator=generator)
    return images, torch.rand(batch, 8, generator=generator)


def test_policy_is_the_softmax_of_values_over_temperature():
    policy = soft_policy(torch.tensor([0.0, math.log(3) * 0.1]), ALL, 0.1)
    assert policy.tolist() == pytest.approx([0.25, 0.75])


def test_policy_gives_nothing_to_prompts_that_were_not_offered():
    policy = soft_policy(torch.tensor([0.0, 9.0, 0.0]), torch.tensor([True, False, True]), 0.5)
    assert policy.tolist() == pytest.approx([0.5, 0.0, 0.5])


def test_policy_at_temperature_zero_takes_the_first_of_the_best():
    assert soft_policy(torch.tensor([-1.0, -0.2, -0.2]), torch.ones(3, dtype=torch.bool), 0).tolist() == [0, 1, 0]


def test_value_expects_the_minimum_over_critics_under_the_policy_of_their_mean():
    temperature = 0.2 / math.log(3)  # the means differ by 0.2: probabilities 1/4 and 3/4
    values = torch.tensor([[[-0.5, -0.3]], [[-0.9, -0.7]]])
    value = soft_value(values, ALL[None], temperature)
    assert value.tolist() == pytest.approx([0.25 * -0.9 + 0.75 * -0.7])


def test_value_ignores_rows_beyond_the_candidate_set():
    values = torch.tensor([[[-0.5, 0.9]]])
    assert soft_value(values, torch.tensor([[True, False]]), 0.05).tolist() == pytest.approx([-0.5])


def test_only_success_stops_the_bootstrap():
    target = td_target(torch.tensor([0.0, -0.125]), torch.tensor([1.0, 0.0]), torch.tensor([-0.8, -0.8]), 0.875)
    assert target.tolist() == pytest.approx([0.0, -0.125 - 0.875 * 0.8])


def test_loss_is_the_mean_square_over_states_summed_over_critics():
    values = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert float(critic_loss(values, torch.tensor([1.0, 1.0]))) == pytest.approx(1.0)


def test_failing_for_ever_is_worth_minus_one_and_success_now_zero():
    horizon = 8
    assert reward(False, horizon) == -1 / 8
    assert reward(True, horizon) == 0
    assert discount(horizon) == 7 / 8
    assert discounted_return([reward(False, horizon)] * 5, horizon) == pytest.approx(-1)
    assert discounted_return([0.0], horizon) == 0
    assert discounted_return([-1 / 8, 0.0], horizon) == pytest.approx(-1 / 8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 0), min_size=2, max_size=9), st.floats(0.01, 1.0))
def test_policy_is_a_distribution_that_prefers_what_is_worth_more(values, temperature):
    tensor = torch.tensor(values, dtype=torch.float64)
    policy = soft_policy(tensor, torch.ones(len(values), dtype=torch.bool), temperature)
    assert float(policy.sum()) == pytest.approx(1)
    assert float(policy[tensor.argmax()]) == pytest.approx(float(policy.max()))


def test_candidates_share_the_state_without_mixing():
    network, (images, proprio) = critics(), states()
    rows = torch.tensor([[0, 1, 2], [2, 3, 4], [4, 4, 0], [1, 0, 3]])
    together = network(images, proprio, rows)
    assert together.shape == (3, 4, 3)
    for index in range(4):
        for column in range(3):
            alone = network(images[index : index + 1], proprio[index : index + 1], rows[index, column].view(1, 1))
            torch.testing.assert_close(together[:, index, column], alone[:, 0, 0], atol=1e-5, rtol=1e-4)


def test_a_prompt_is_its_one_hot():
    network, (images, proprio) = critics(), states(1)
    features = network.features(images, proprio)
    one_hot = torch.eye(5)[3]
    weight = torch.cat([network.state_weight, network.prompt_weight], 1)
    first = torch.cat([features[0], one_hot]) @ weight + network.first_bias[:, 0]
    expected = network._normalise(first[:, None], 0)
    for number, (layer, bias) in enumerate(zip(network.hidden_weights, network.hidden_biases, strict=True), 1):
        expected = network._normalise(expected @ layer + bias, number)
    expected = expected @ network.last_weight + network.last_bias
    torch.testing.assert_close(network.values(features, torch.tensor([[3]])), expected, atol=1e-5, rtol=1e-4)


def test_the_stem_is_a_convolution_of_three_by_three_and_stride_two():
    stem = critics().convolutions[0]
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        stem(pixels), torch.nn.functional.conv2d(pixels, stem.weight, stem.bias, 2), atol=1e-5, rtol=1e-4
    )


def test_critics_begin_near_their_start_value():
    network, (images, proprio) = critics(bias=-0.4), states()
    values = network(images, proprio, torch.arange(5).expand(4, 5)).detach()
    assert float((values + 0.4).abs().max()) < 0.2
    assert float(values.std(0).min()) > 0


def test_a_crop_moves_the_picture_and_repeats_its_edge():
    image = torch.arange(4 * 4 * 3, dtype=torch.uint8).view(4, 4, 3)
    padded = torch.nn.functional.pad(image.permute(2, 0, 1)[None].float(), (1,) * 4, mode="replicate")
    padded = padded[0].permute(1, 2, 0).to(torch.uint8)
    same, moved = crop([padded, padded], [(1, 1), (0, 2)], 4)
    assert torch.equal(same, image)
    assert torch.equal(moved[1:, :3], image[:3, 1:])
    assert torch.equal(moved[0, :3], image[0, 1:])
    assert torch.equal(moved[1:, 3], image[:3, 3])


def test_adam_takes_the_steps_of_its_paper():
    parameter = torch.tensor([1.0, -2.0])
    optimizer = Adam([parameter], 0.1)
    first, second, expected = np.zeros(2), np.zeros(2), np.array([1.0, -2.0])
    for step, gradient in enumerate(([0.5, -1.0], [0.1, 3.0], [-0.2, 0.0]), 1):
        parameter.grad = torch.tensor(gradient)
        optimizer.update()
        first = 0.9 * first + 0.1 * np.array(gradient)
        second = 0.999 * second + 0.001 * np.array(gradient) ** 2
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        expected = expected - 0.1 * first / (1 - 0.9**step) / corrected
        assert parameter.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
