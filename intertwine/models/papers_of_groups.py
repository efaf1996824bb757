"""The papers of the networks on groups and of those on images, as :mod:`intertwine.models.papers` has the others."""

from __future__ import annotations

from intertwine.nn.paper import Paper

_COHEN_WELLING = Paper(
    "cohen2016group",
    ("Taco S. Cohen", "Max Welling"),
    "Group Equivariant Convolutional Networks",
    2016,
    "International Conference on Machine Learning",
    arxiv="1602.07576",
)
_PONITA = Paper(
    "bekkers2024ponita",
    ("Erik J. Bekkers", "Sharvaree Vadgama", "Rob D. Hesselink", "Putri A. van der Linden", "David W. Romero"),
    "Fast, Expressive SE(n) Equivariant Networks through Weight-Sharing in Position-Orientation Space",
    2024,
    "International Conference on Learning Representations",
    "2310.02970",
)
#: Architecture -> its paper, and those that its parts are from.
PAPERS_OF_GROUPS: dict[str, tuple[Paper, ...]] = {
    "bspline_lieconv": (
        Paper(
            "bekkers2020bspline",
            ("Erik J. Bekkers",),
            "B-Spline CNNs on Lie Groups",
            2020,
            "International Conference on Learning Representations",
            "1909.12057",
        ),
    ),
    "clebsch_gordan_net": (
        Paper(
            "kondor2018clebsch",
            ("Risi Kondor", "Zhen Lin", "Shubhendu Trivedi"),
            "Clebsch-Gordan Nets: a Fully Fourier Space Spherical Convolutional Neural Network",
            2018,
            "Advances in Neural Information Processing Systems",
            arxiv="1806.09231",
        ),
    ),
    "cnn": (
        Paper(
            "lecun1998gradient",
            ("Yann LeCun", "Léon Bottou", "Yoshua Bengio", "Patrick Haffner"),
            "Gradient-based learning applied to document recognition",
            1998,
            "Proc. IEEE 86, 2278",
            doi="10.1109/5.726791",
        ),
    ),
    "group_mpnn": (_PONITA,),
    "lieconv": (
        Paper(
            "finzi2020lieconv",
            ("Marc Finzi", "Samuel Stanton", "Pavel Izmailov", "Andrew Gordon Wilson"),
            "Generalizing Convolutional Neural Networks for Equivariance to Lie Groups on Arbitrary Continuous Data",
            2020,
            "International Conference on Machine Learning",
            "2002.12880",
        ),
    ),
    "octahedral_cnn": (
        Paper(
            "winkels2018gcnns",
            ("Marysia Winkels", "Taco S. Cohen"),
            "3D G-CNNs for Pulmonary Nodule Detection",
            2018,
            "Medical Imaging with Deep Learning",
            arxiv="1804.04656",
        ),
    ),
    "p4cnn": (_COHEN_WELLING,),
    "p4mcnn": (_COHEN_WELLING,),
    "ponita": (_PONITA,),
    "regular_group_cnn": (
        _COHEN_WELLING,
        Paper(
            "knigge2022separable",
            ("David M. Knigge", "David W. Romero", "Erik J. Bekkers"),
            "Exploiting Redundancy: Separable Group Convolutional Networks on Lie Groups",
            2022,
            "International Conference on Machine Learning",
            "2110.13059",
        ),
    ),
    "scale_cnn": (
        Paper(
            "sosnovik2020scale",
            ("Ivan Sosnovik", "Michał Szmaja", "Arnold Smeulders"),
            "Scale-Equivariant Steerable Networks",
            2020,
            "International Conference on Learning Representations",
            arxiv="1910.11093",
        ),
    ),
    "se2cnn": (
        Paper(
            "bekkers2018roto",
            (
                "Erik J. Bekkers",
                "Maxime W. Lafarge",
                "Mitko Veta",
                "Koen A. J. Eppenhof",
                "Josien P. W. Pluim",
                "Remco Duits",
            ),
            "Roto-Translation Covariant Convolutional Networks for Medical Image Analysis",
            2018,
            "Medical Image Computing and Computer Assisted Intervention",
            arxiv="1804.03393",
        ),
        Paper(
            "weiler2018learning",
            ("Maurice Weiler", "Fred A. Hamprecht", "Martin Storath"),
            "Learning Steerable Filters for Rotation Equivariant CNNs",
            2018,
            "IEEE Conference on Computer Vision and Pattern Recognition",
            arxiv="1711.07289",
        ),
    ),
    "steerable_cnn": (
        Paper(
            "weiler2019general",
            ("Maurice Weiler", "Gabriele Cesa"),
            "General E(2)-Equivariant Steerable CNNs",
            2019,
            "Advances in Neural Information Processing Systems",
            arxiv="1911.08251",
        ),
    ),
    "steerable_cnn_3d": (
        Paper(
            "weiler2018steerable",
            ("Maurice Weiler", "Mario Geiger", "Max Welling", "Wouter Boomsma", "Taco S. Cohen"),
            "3D Steerable CNNs: Learning Rotationally Equivariant Features in Volumetric Data",
            2018,
            "Advances in Neural Information Processing Systems",
            arxiv="1807.02547",
        ),
    ),
}
