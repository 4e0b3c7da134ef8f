"""The model of a run in scikit-learn's conventions: raw pixels, classes in ascending order.

A run scales its pixels and has one output per class, or one for the first of two classes. Here the
scaling is part of the coefficients, and with two classes there is one row, for the second.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistlin.errors import MnistlinError
from mnistlin.model.heads import CrossEntropy, Head
from mnistlin.model.products import Floats, Scaling

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

WeightsName: TypeAlias = Literal["last", "best"]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A linear classifier of images with pixel values from 0 to 255.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in ascending order.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Change of the logit per grey level; with two classes, of that of `classes_[1]`.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Logits of a black image.
    image_shape : tuple of int
        Height and width of an image in pixels.
    zero : float
        The pixel value that the run scales to 0.
    head : Head
        What the logits mean.
    """

    classes_: NDArray[np.int64]
    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    image_shape: tuple[int, int]
    zero: float
    head: Head

    def evidence(self, pixels: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Return weight times input of each pixel of one image for class k, (height, width).

        With the bias they add up to the logit of the class. With two classes there is one logit,
        that of the second, and the evidence for the first is its negative.
        """
        row, sign = (k, 1) if len(self.coef_) > 1 else (0, 2 * k - 1)
        products: NDArray[np.float64] = sign * self.coef_[row] * (pixels.ravel() - self.zero)
        return products.reshape(self.image_shape)

    def decision_function(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return the logits: (n_images,) with two classes, else (n_images, n_classes)."""
        Z: NDArray[np.float64] = self._rows(images) @ self.coef_.T + self.intercept_
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict_proba(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class of `classes_`, (n_images, n_classes).

        Parameters
        ----------
        images : array-like of shape (n_images, n_features) or (n_images, height, width)
            Pixel values, 0 to 255.

        Raises
        ------
        ValueError
            If the images have another shape.
        RunError
            If the model gives no probabilities.
        """
        Z = self.decision_function(images).T
        if Z.ndim == 2:
            return self.head.probabilities(Z).T
        of_both = np.stack([Z, np.zeros_like(Z)])[: self.head.n_outputs(2)]
        return self.head.probabilities(of_both)[::-1].T  # the second class comes first in Z

    def predict(self, images: ArrayLike) -> NDArray[np.int64]:
        """Return the label of the most probable class of each image, (n_images,)."""
        Z = self.decision_function(images)
        index = (Z > 0).astype(int) if Z.ndim == 1 else Z.argmax(axis=1)
        labels: NDArray[np.int64] = self.classes_[index]
        return labels

    def to_sklearn(self) -> "LogisticRegression":
        """Return the same model as a fitted `sklearn.linear_model.LogisticRegression`.

        Raises
        ------
        MnistlinError
            If scikit-learn is not installed, or the model has another loss.
        """
        if not isinstance(self.head, CrossEntropy):
            raise MnistlinError(f"LogisticRegression cannot represent model: {self.head.name}")
        try:
            from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MnistlinError(
                "to_sklearn needs scikit-learn: pip install 'mnistlin[sklearn]'"
            ) from None
        model = LogisticRegression()
        model.classes_, model.coef_, model.intercept_ = self.classes_, self.coef_, self.intercept_
        model.n_features_in_, model.n_iter_ = self.coef_.shape[1], np.array([0])
        return model

    def _rows(self, images: ArrayLike) -> NDArray[np.float64]:
        X, n_features = np.asarray(images, np.float64), self.coef_.shape[1]
        if X.ndim >= 2 and X.shape[1:] in {(n_features,), self.image_shape}:
            return X.reshape(len(X), n_features)
        height, width = self.image_shape
        raise ValueError(
            f"images have the shape {X.shape}; expected (n, {n_features}) or (n, {height}, {width})"
        )


def make_classifier(
    W: Floats, head: Head, classes: tuple[int, ...], image_shape: tuple[int, int], scaling: Scaling
) -> Classifier:
    """Return the classifier of weights that act on scaled pixels.

    Parameters
    ----------
    W : ndarray of shape (n_features + 1, n_outputs)
        Weights, the bias row last.
    head : Head
        What their logits mean.
    classes : tuple of int
        Labels in the order of class indices; a single output is the logit of the first.
    image_shape : tuple of int
        Height and width of an image in pixels.
    scaling : Scaling
        How pixels become inputs.
    """
    W = W.astype(np.float64)
    coef = W[:-1].T / scaling.divisor
    intercept = W[-1] - scaling.offset * W[:-1].sum(axis=0)
    if W.shape[1] == 1:  # the second class has the logit 0
        coef, intercept = (
            np.concatenate([each, np.zeros_like(each)]) for each in (coef, intercept)
        )
    order = np.argsort(classes)
    coef, intercept = coef[order], intercept[order]
    if len(classes) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    return Classifier(np.array(classes)[order], coef, intercept, image_shape, scaling.mean, head)
