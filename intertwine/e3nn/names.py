"""Where each of e3nn's names lives here: module of e3nn -> names -> home. Read by :mod:`intertwine.e3nn.namespace`.

A home is a module of this package, under which the names are the same, or the other name follows ``=``:
``"_MulIr=MulIr"``.
"""

from __future__ import annotations

O3, NN, HERE = "intertwine.o3", "intertwine.nn", "intertwine.e3nn"

_ROTATION = (
    (
        "intertwine.groups.rotations",
        "rand_matrix identity_quaternion rand_quaternion compose_quaternion inverse_quaternion rand_axis_angle "
        "compose_axis_angle matrix_x matrix_y matrix_z matrix_to_quaternion axis_angle_to_quaternion "
        "quaternion_to_axis_angle matrix_to_axis_angle axis_angle_to_matrix quaternion_to_matrix",
    ),
    (
        f"{O3}.angles",
        "identity_angles rand_angles compose_angles inverse_angles angles_to_matrix matrix_to_angles "
        "angles_to_quaternion angles_to_axis_angle quaternion_to_angles "
        "axis_angle_to_angles angles_to_xyz xyz_to_angles",
    ),
)
_WIGNER = (
    (f"{O3}.angles", "wigner_D"),
    (f"{O3}.clebsch_gordan", "wigner_3j"),
    (f"{O3}.generators", "change_basis_real_to_complex su2_generators so3_generators"),
)
_IRREPS = ((f"{O3}.irreps", "Irreps"), (f"{O3}.irreps", "Irrep"))
_HARMONICS = ((f"{O3}.spherical_harmonics", "SphericalHarmonics spherical_harmonics"),)
_ANGULAR = (
    (f"{O3}.angular", "SphericalHarmonicsAlphaBeta spherical_harmonics_alpha_beta spherical_harmonics_alpha Legendre"),
)
_REDUCE = ((f"{O3}.reduce", "ReducedTensorProducts"),)
_S2GRID = ((f"{O3}.grids", "s2_grid spherical_harmonics_s2_grid rfft irfft"), (f"{HERE}.grids", "ToS2Grid FromS2Grid"))
_SO3GRID = ((f"{O3}.so3_grid", "SO3Grid"),)
_NORM = ((f"{O3}.norm", "Norm"),)
_PRODUCT = ((f"{HERE}.layers", "TensorProduct"), (f"{O3}.instructions", "Instruction"))
_SUB = ((f"{HERE}.layers", "FullyConnectedTensorProduct ElementwiseTensorProduct FullTensorProduct TensorSquare"),)
_LINEAR = ((f"{HERE}.linear", "Linear"),)
_V2 = ((f"{HERE}.experimental", "FullTensorProductv2 ElementwiseTensorProductv2"),)

_EXTRACT = ((f"{NN}.irreps.extract", "Extract ExtractIr"),)
_ACTIVATION = ((f"{HERE}.activation", "Activation"),)
_BATCHNORM = ((f"{NN}.irreps.batch_norm", "BatchNorm"),)
_FC = ((f"{NN}.irreps.fully_connected", "FullyConnectedNet"),)
_GATE = ((f"{NN}.irreps.gate", "Gate"),)
_IDENTITY = ((f"{NN}.irreps.extract", "Identity"),)
_S2ACT = ((f"{NN}.irreps.s2_activation", "S2Activation"),)
_SO3ACT = ((f"{NN}.irreps.so3_activation", "SO3Activation"),)
_NORMACT = ((f"{NN}.irreps.norm_activation", "NormActivation"),)
_DROPOUT = ((f"{NN}.irreps.dropout", "Dropout"),)

_CARTESIAN = ((f"{O3}.cartesian", "CartesianTensor"),)
_SPHERICAL = ((f"{O3}.spherical_tensor", "SphericalTensor"),)

_LINALG = (("intertwine.numerics.linalg", "complete_basis direct_sum orthonormalize"),)
_MOMENT = ((f"{NN}.irreps.activation", "moment normalize2mom"),)
_STEP = ((f"{NN}.one_hot", "soft_unit_step"),)
_ONE_HOT = ((f"{NN}.one_hot", "soft_one_hot_linspace"),)
_BESSEL = ((f"{NN}.one_hot", "bessel"),)
_FORMULAS = (("intertwine.groups.index_symmetry", "germinate_formulas reduce_permutation"),)
_PERM = (
    (
        "intertwine.groups.permutations",
        "is_perm identity compose inverse rand from_int to_int group germinate is_group to_cycles sign "
        "standard_representation natural_representation",
    ),
)

_SETTINGS = ((f"{HERE}.settings", "get_optimization_defaults set_optimization_defaults"),)
_DEFAULTS = ((f"{HERE}.defaults", "torch_get_default_tensor_type torch_get_default_device explicit_default_types"),)
_JIT = (
    (
        f"{HERE}.jit",
        "compile_mode get_compile_mode compile=compile_module get_tracing_inputs trace_module trace script",
    ),
)

MODULES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (*_SETTINGS, (f"{HERE}.settings", "__version__ _OPT_DEFAULTS")),
    "o3": (
        *_ROTATION,
        *_WIGNER,
        *_IRREPS,
        *_PRODUCT,
        *_SUB,
        *_V2[:1],
        *_HARMONICS,
        *_ANGULAR,
        *_REDUCE,
        *_S2GRID,
        *_SO3GRID,
        *_LINEAR,
        *_NORM,
    ),
    "o3._rotation": _ROTATION,
    "o3._wigner": (*_WIGNER, (f"{HERE}.private", "_so3_clebsch_gordan")),
    "o3._irreps": (*_IRREPS, (f"{O3}.irreps", "_MulIr=MulIr")),
    "o3.irrep": (*_IRREPS[1:], (f"{HERE}.private", "__getattr__=named_irrep")),
    "o3._tensor_product": (*_PRODUCT, *_SUB),
    "o3._tensor_product._tensor_product": (*_PRODUCT, *_IRREPS[:1]),
    "o3._tensor_product._sub": (*_SUB, *_PRODUCT[:1], *_IRREPS),
    "o3._tensor_product._instruction": _PRODUCT[1:],
    "o3._tensor_product._codegen": ((f"{HERE}.private", "_sum_tensors"),),
    "o3._spherical_harmonics": (*_HARMONICS, *_IRREPS, (f"{HERE}.private", "_spherical_harmonics")),
    "o3._angular_spherical_harmonics": (*_ANGULAR, (f"{HERE}.private", "_mul_m_lm")),
    "o3._reduce": _REDUCE,
    "o3._s2grid": (*_S2GRID, (f"{HERE}.private", "_quadrature_weights _complete_lmax_res _expand_matrix")),
    "o3._so3grid": (*_SO3GRID, (f"{O3}.so3_grid", "flat_wigner")),
    "o3._linear": (
        *_LINEAR,
        *_IRREPS[:1],
        (f"{O3}.linear_paths", "Instruction=LinearInstruction"),
        (f"{HERE}.linear", "LinearSlices"),
    ),
    "o3._norm": _NORM,
    "o3.experimental": _V2,
    "o3.experimental._full_tp": ((f"{HERE}.experimental", "FullTensorProduct=FullTensorProductv2"),),
    "o3.experimental._elementwise_tp": (
        (f"{HERE}.experimental", "ElementwiseTensorProduct=ElementwiseTensorProductv2"),
    ),
    "nn": (
        *_EXTRACT,
        *_ACTIVATION,
        *_BATCHNORM,
        *_FC,
        *_GATE,
        *_IDENTITY,
        *_S2ACT,
        *_SO3ACT,
        *_NORMACT,
        *_DROPOUT,
    ),
    "nn._extract": _EXTRACT,
    "nn._activation": _ACTIVATION,
    "nn._batchnorm": _BATCHNORM,
    "nn._fc": (*_FC, (f"{NN}.irreps.fully_connected", "_Layer=FullyConnectedLayer")),
    "nn._gate": (*_GATE, *_ACTIVATION, *_EXTRACT[:1], (f"{HERE}.sortcut", "_Sortcut=Sortcut")),
    "nn._identity": _IDENTITY,
    "nn._s2act": _S2ACT,
    "nn._so3act": _SO3ACT,
    "nn._normact": _NORMACT,
    "nn._dropout": _DROPOUT,
    "nn.models": (),
    "io": (*_CARTESIAN, *_SPHERICAL),
    "io._cartesian_tensor": (*_CARTESIAN, *_REDUCE),
    "io._spherical_tensor": _SPHERICAL,
    "math": (*_LINALG, *_MOMENT, *_STEP, *_BESSEL, *_ONE_HOT, *_FORMULAS),
    "math._linalg": _LINALG,
    "math._normalize_activation": _MOMENT,
    "math._soft_unit_step": _STEP,
    "math._soft_one_hot_linspace": (*_ONE_HOT, *_STEP),
    "math._bessel": _BESSEL,
    "math._reduce": _FORMULAS,
    "math.perm": _PERM,
    "util": (*_DEFAULTS, ("math", "prod")),
    "util.default_type": (*_DEFAULTS, (f"{HERE}.defaults", "_torch_get_default_dtype")),
    "util.datatypes": ((f"{HERE}.private", "Chunk Path"),),
    "util.jit": (*_JIT, *_SETTINGS, (f"{HERE}.jit", "disable_e3nn_codegen _MAKE_TRACING_INPUTS")),
    "util.codegen": ((f"{HERE}.codegen", "CodeGenMixin"),),
    "util.codegen._mixin": ((f"{HERE}.codegen", "CodeGenMixin"),),
    "util._argtools": (
        (
            f"{HERE}.arguments",
            "_is_irreps=is_irreps _transform=transform _get_io_irreps=io_irreps _get_args_in=arguments_in",
        ),
        (
            f"{HERE}.arguments",
            "_rand_args=random_arguments _get_device=device_of _get_floating_dtype=dtype_of _to_device_dtype=moved",
        ),
    ),
    "util._context": (),
    "util.test": (
        (
            f"{HERE}.testing",
            "FLOAT_TOLERANCE random_irreps format_equivariance_error assert_equivariant equivariance_error",
        ),
        (f"{HERE}.testing", "assert_auto_jitable assert_torch_compile assert_normalized set_random_seeds"),
        (f"{HERE}.fixtures", "float_tolerance"),
        *_SETTINGS,
        *_JIT,
    ),
}
