"""Baselines that a forecast of bike rentals must beat, fitted to the same hours; and the charts of a forecast."""

from collections.abc import Iterator, Mapping

import numpy as np

from workbench.datasets.bike_sharing import BikeSharing, Hours
from workbench.events import Curve, Event, Scatter

CALENDAR_AND_WEATHER = [
    "hr",
    "weekday",
    "workingday",
    "holiday",
    "season",
    "mnth",
    "weathersit",
    "temp",
    "atemp",
    "hum",
    "windspeed",
    "day",
]


def last_week(data: BikeSharing) -> np.ndarray:
    """Riders at the same hour and weekday of the last week before the forecast, (test hours,): the seasonal naive forecast."""
    train, valid, test = data.train.columns, data.valid.columns, data.test.columns
    hours = np.concatenate([part["day"] * 24 + part["hr"] for part in (train, valid)])
    riders = np.concatenate([train["cnt"], valid["cnt"]])
    weeks = (test["day"] - test["day"][0]) // 7 + 1
    # A few hours are missing in the data; the next hour replaces them.
    places = np.searchsorted(hours, (test["day"] - 7 * weeks) * 24 + test["hr"])
    predicted: np.ndarray = riders[np.minimum(places, len(riders) - 1)]
    return predicted


def ridge(data: BikeSharing) -> np.ndarray:
    """Ridge regression (linear, L2 penalty) on the course's 56 features, (test hours,) riders."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1.0).fit(data.train.features, data.train.riders)
    predicted: np.ndarray = np.maximum(model.predict(data.test.features), 0)
    return predicted


def gradient_boosting(data: BikeSharing) -> np.ndarray:
    """Gradient-boosted trees with the Poisson loss on unscaled hour, calendar and weather, (test hours,) riders.

    Their settings were chosen on windows 7 to 12.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    def columns(hours: Hours) -> np.ndarray:
        return np.stack([hours.columns[name] for name in CALENDAR_AND_WEATHER], axis=1)

    model = HistGradientBoostingRegressor(loss="poisson", learning_rate=0.1, max_iter=200, max_leaf_nodes=31, random_state=0)
    predicted: np.ndarray = model.fit(columns(data.train), data.train.riders).predict(columns(data.test))
    return predicted


def rmse(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((forecast - truth) ** 2)))


def forecast(hours: Hours, riders: np.ndarray) -> Iterator[Event]:
    """Curves of the true riders and of the network's forecast; the hours of holidays as points."""
    x, labels = hours.days.round(3), ("day of December 2012", "riders in an hour")
    holiday = hours.columns["holiday"] == 1
    if holiday.any():
        truth = hours.riders[holiday].tolist()
        yield Scatter(tag="forecast/holiday", x=x[holiday].tolist(), y=truth, labels=["holiday"] * len(truth))
    yield Curve(tag="forecast/truth", x=x.tolist(), y=hours.riders.tolist(), labels=labels)
    yield Curve(tag="forecast/network", x=x.tolist(), y=riders.round(1).tolist(), labels=labels)


def by_hour(hour: np.ndarray, truth: np.ndarray, forecasts: Mapping[str, np.ndarray]) -> Iterator[Curve]:
    """The RMSE of each forecast at each hour of the day."""
    hours = np.unique(hour)
    for name, riders in forecasts.items():
        errors = [rmse(riders[hour == moment], truth[hour == moment]) for moment in hours]
        yield Curve(tag=f"error_by_hour/{name}", x=hours.tolist(), y=errors, labels=("hour of the day", "RMSE, riders"))
