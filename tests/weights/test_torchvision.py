"""torchvision's AlexNet and GoogLeNet, built here by hand, against ours with the same weights."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_fcn
from keras_fcn.weights.architecture import network_arguments
from keras_fcn.weights.convert import assign_weights, open_weight_file

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Convolution(nn.Module):
    """Convolution, batch normalization and ReLU, as in torchvision's GoogLeNet."""

    def __init__(self, inputs, outputs, size, **options):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, bias=False, **options)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, inputs, ones, reduce3, threes, reduce5, fives, projected):
        super().__init__()
        self.branch1 = Convolution(inputs, ones, 1)
        self.branch2 = nn.Sequential(
            Convolution(inputs, reduce3, 1), Convolution(reduce3, threes, 3, padding=1)
        )
        self.branch3 = nn.Sequential(
            Convolution(inputs, reduce5, 1), Convolution(reduce5, fives, 3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), Convolution(inputs, projected, 1)
        )

    def forward(self, x):
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], 1)


# Inputs and filters of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip


class GoogLeNet(nn.Module):
    """At a quarter of its width, up to inception_5b; conv1 is padded as the caller likes."""

    def __init__(self):
        super().__init__()
        self.conv1 = Convolution(3, 16, 7, stride=2)
        self.conv2 = Convolution(16, 16, 1)
        self.conv3 = Convolution(16, 48, 3, padding=1)
        for name, widths in INCEPTIONS.items():
            setattr(self, f"inception{name}", Inception(*(width // 4 for width in widths)))
        self.fc = nn.Linear(256, 1000)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for name in INCEPTIONS:
            if name == "4a":
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            if name == "5a":
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            x = getattr(self, f"inception{name}")(x)
        return x


def alexnet():
    """At a quarter of its width: the features, and the classifier of 6x6 of them."""
    features = nn.Sequential(
        nn.Conv2d(3, 16, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(48, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(64 * 36, 20), nn.ReLU(),
        nn.Dropout(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1000),
    )  # fmt: skip
    return nn.ModuleDict({"features": features, "classifier": classifier})


def randomized(network):
    """Gives layers weights that keep their inputs' size, and batch normalization statistics."""
    torch.manual_seed(0)
    for name, values in network.state_dict().items():
        if values.ndim > 1:
            nn.init.kaiming_normal_(values)
        elif name.endswith("running_var"):
            nn.init.uniform_(values, 0.5, 2)
        elif values.is_floating_point():
            nn.init.uniform_(values, 0.5, 1) if name.endswith("bn.weight") else values.normal_()
    return network.eval()


def converted(network, path):
    """FCN-32s with the network's weights, by way of a file; and its features before the score."""
    save_file({name: values.numpy() for name, values in network.state_dict().items()}, path)
    source = open_weight_file(path)
    model = keras_fcn.FCN32s(2, **network_arguments(source))
    report = assign_weights(model, source)
    assert report.fits and not report.extra[1:]  # only the classifier's last layer is left
    return model, keras.Model(model.input, model.get_layer("score_fr").input)


def pixels(*size):
    return np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype("float32")


def run_torch(function, images):
    """Runs a function of images (batch, channels, height, width) on images in Keras' order."""
    with torch.no_grad():
        return function(torch.tensor(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.std(theirs) > 0.01 * np.ptp(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.ptp(theirs))


def test_alexnet_answers_as_torchvisions(tmp_path):
    network = randomized(alexnet())
    model, features = converted(network, tmp_path / "alexnet.safetensors")
    images = pixels(448, 448)

    def run(x):
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        # Ours begins 7 pixels before the image, torchvision's 2, whose pools end sooner.
        x = network["features"](F.pad((x / 255 - mean) / std, (5, 64, 5, 64)))
        first, second = network["classifier"][1], network["classifier"][4]
        x = F.relu(F.conv2d(F.pad(x, (3, 2, 3, 2)), first.weight.view(20, 64, 6, 6), first.bias))
        return F.relu(F.conv2d(x, second.weight[..., None, None], second.bias))

    ours, theirs = np.asarray(features(images)), run_torch(run, images)

    assert model.backbone.name == "alexnet_torchvision"
    assert ours.shape == (1, 14, 14, 20)
    # The receptive field of these, 355 pixels, lies within the image.
    assert_close(ours[:, 6:8, 6:8], theirs[:, 6:8, 6:8])


def test_googlenet_answers_as_torchvisions(tmp_path):
    network = randomized(GoogLeNet())
    model, features = converted(network, tmp_path / "googlenet.safetensors")
    images = pixels(64, 96)

    def run(x):
        # Ours begins 9 pixels before the image, torchvision's 3.
        return network(F.pad(x / 127.5 - 1, (9, 0, 9, 0)))

    assert model.backbone.name == "googlenet_torchvision"
    assert_close(np.asarray(features(images)), run_torch(run, images))
