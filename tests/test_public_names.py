"""The public names: what may be imported is written down here, and changes only on purpose."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import deltarule

PUBLIC = {
    "deltarule": """
        Adadelta Adagrad Adam AdamW Adaptive BatchNorm BinaryCrossEntropy
        CategoricalCrossEntropy Checkpoint ClipNorm ClipValue Constant ConstantInitializer
        Cosine CosineLog CustomActivation CustomLoss Dense Dropout ELU EMAMomentum EarlyStopping
        Embedding Exponential FlatCosine GradientCheck History Huber InverseScaling
        InverseSquareRoot InverseTime L1 L2 LBFGS LeakyReLU LineSearch MLPClassifier MLPRegressor
        MaxNorm
        Nadam Network Normal OneCycle
        Parametric Periodic PiecewiseConstant Quantile RMSprop ReduceOnPlateau Rprop SGD Scale
        Shards State StepDecay
        TabularClassifier TabularRegressor Uniform WarmUp analysis augmentation check_function
        check_gradients critical_point datasets errors exact_dropout_mean explain
        fold_batch_norm functions graph hessian_eigenvalues hessian_vector_product load
        metrics monte_carlo_dropout network_health
        plot_confusion_matrix plot_learning_curve plot_predictions plots
        recompute_batch_norm save schedules shrinkage_table tables train tuning
    """,
    "deltarule.analysis": """
        CapacityTable CriticalPoint Health Shrinkage bias_corrected capacity_table
        check_gradients critical_point effective_window exact_dropout_mean
        exponential_average fold_batch_norm hessian_eigenvalues hessian_vector_product
        least_squares monte_carlo_dropout moving_average network_health
        polynomial_features recompute_batch_norm ridge shrinkage_table
    """,
    "deltarule.augmentation": """
        Augmenter ColorJitter Compose Crop Elastic Flip Gain GaussianNoise PitchShift
        RandomDeletion RandomInsertion RandomSwap Rotation RowStreams Scaling Shear SignalNoise
        SynonymReplacement TextAugmenter TimeShift Translation
    """,
    "deltarule.datasets": """
        load_fashion_mnist load_mnist penguins_path read_idx
    """,
    "deltarule.errors": """
        BusyError CheckpointError ClusterError DataError DatasetError DeltaruleError DivergenceError
        FrozenTrainingWarning InexactResumeWarning MissingDependencyError ModelFileError
        OutputError ShapeError SlowClusterWarning SpecError TableError TapeError UnreadFileError
    """,
    "deltarule.functions": """
        ACTIVATIONS Activation LOSSES LossFunction Softmax absolute_error
        binary_cross_entropy categorical_cross_entropy elu exp gelu hard_sigmoid hard_tanh
        huber identity leaky_relu log_softmax mish poisson quantile relu selu sigmoid
        sigmoid_cross_entropy silu softmax softmax_cross_entropy softplus softsign
        squared_error tanh
    """,
    "deltarule.metrics": """
        BiasVarianceDiagnosis ClassificationReport CrossValidation Decomposition
        GeneralizationError InformationCriteria LearningCurve PrecisionRecallCurve
        RegressionReport TargetComparison ThresholdChoice choose_threshold compare_targets
        cost_threshold cross_validated_cost decompose_error diagnose_bias_variance
        epoch_curve estimate_generalization_error information_criteria mean_loss
        measure_classification measure_regression plot_learning_curves row_losses
        separation_epoch size_curve
    """,
    "deltarule.plots": """
        ActivationDisplay ActivationHistogramDisplay BoundaryDisplay CostContourDisplay
        DropoutMaskDisplay GradientNormDisplay HealthDisplay HessianDisplay LossDisplay
        ScheduleDisplay ShrinkageDisplay ThresholdDisplay WeightsDisplay
        plot_confusion_matrix plot_learning_curve plot_predictions
    """,
    "deltarule.tuning": """
        LogMomentum LogUniform Retuning StrengthChoice choose_strength retune
    """,
    "deltarule.schedules": """
        Adaptive Constant Cosine CosineLog EpochSchedule Exponential FlatCosine InverseScaling
        InverseSquareRoot InverseTime OneCycle PiecewiseConstant PlateauMemory Position
        Rates ReduceOnPlateau SCHEDULES Schedule StepDecay WarmUp resolve_schedule
    """,
    "deltarule.tables": """
        ColumnValues CsvFormat DataValues Description Evaluation Plan Predictions PredictionsCsv
        Prepared ReadOptions Settings Shares Source Table TableModel TabularClassifier
        TabularRegressor Understanding Understood check_test collect_values csv_format default_space
        describe fit is_large open_source prepare read_table score_parts understand
    """,
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    found = import_module(module)
    assert sorted(found.__all__) == PUBLIC[module].split()
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_public_module_is_listed_here() -> None:
    public = {name: getattr(deltarule, name) for name in deltarule.__all__}
    modules = {f"deltarule.{name}" for name, it in public.items() if isinstance(it, ModuleType)}
    assert modules | {"deltarule"} == set(PUBLIC)


def test_dir_lists_every_public_name() -> None:
    assert {*deltarule.__all__, "__version__"} <= set(dir(deltarule))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'deltarule' has no attribute 'Perceptron'"):
        _ = deltarule.Perceptron  # type: ignore[attr-defined]


def test_submodules_are_imported_when_they_are_first_used() -> None:
    code = (
        "import sys, deltarule\n"
        "assert not [name for name in sys.modules if name.startswith('deltarule.')]\n"
        "assert 'retune' in dir(deltarule.tuning)\n"
        "assert 'deltarule.plots' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
