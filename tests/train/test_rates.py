import pytest
from keras_fcn_train import OptimizerConfig, convert_rates
from keras_fcn_train.rates import rate_warning


@pytest.mark.parametrize(
    ("before", "after", "factor"),
    [
        # Four images of 50 pixels: 4 images in a sum, 200 pixels in all.
        ("sum", "per_image", 4),
        ("sum", "mean", 200),
        ("per_image", "mean", 50),
        ("mean", "sum", 1 / 200),
        ("per_image", "per_image", 1),
    ],
)
def test_rate_grows_and_decay_shrinks_with_the_divisor(before, after, factor):
    rate, decay = convert_rates(0.1, 0.02, before=before, after=after, pixels=50, batch_size=4)

    assert rate == pytest.approx(0.1 * factor)
    assert decay == pytest.approx(0.02 / factor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"before": "valid"},
            "`before` must be one of mean, per_image, sum. Received: before='valid'",
        ),
        ({"pixels": 0}, "`pixels` must be at least 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        convert_rates(
            0.1, 0.1, **{"before": "sum", "after": "sum", "pixels": 9, "batch_size": 1, **arguments}
        )


def warning(reduction, learning_rate, *, pixels, batch_size=8, **settings):
    config = OptimizerConfig(**{"name": "sgd", "learning_rate": learning_rate, **settings})
    return rate_warning(config, reduction, batch_size=batch_size, pixels=pixels)


@pytest.mark.parametrize(
    ("reduction", "learning_rate", "settings"),
    [
        # The reference's four solvers, one image per step.
        *(("per_image", r, {"momentum": 0.99, "batch_size": 1}) for r in (1e-10, 1e-12, 1e-14)),
        ("mean", 1e-4, {"momentum": 0.9, "batch_size": 1, "gradient_accumulation_steps": 20}),
        # The paper's AlexNet, and a network from random weights.
        ("mean", 1e-3, {"momentum": 0.9, "batch_size": 20}),
        ("mean", 0.1, {"momentum": 0.9, "batch_size": 8}),
        # What does not depend on the size of the loss.
        ("sum", 1e-4, {"global_clipnorm": 1.0}),
        ("sum", 1e-3, {"name": "adamw"}),
    ],
)
def test_published_and_common_rates_are_not_warned_of(reduction, learning_rate, settings):
    assert warning(reduction, learning_rate, pixels=500 * 375, **settings) is None


def test_rate_of_a_mean_on_a_sum_is_warned_of():
    text = warning("sum", 1e-4, batch_size=1, pixels=200_000)

    assert "acts as 20 would on the mean" in text
    assert "--learning-rate 5.0e-10 for the same steps as 0.0001 on the mean" in text


def test_rate_of_a_sum_on_a_mean_is_warned_of():
    text = warning("mean", 1e-10, momentum=0.99, batch_size=1, pixels=200_000)

    assert "will hardly progress" in text
    assert "--reduction per_image" in text
    assert "--learning-rate 2.0e-05 for the same steps as 1e-10 on the sum" in text
