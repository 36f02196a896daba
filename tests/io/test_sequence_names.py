"""Names of sequences with the right answer: file names, BIDS names and DICOM descriptions.

None is right where a name is not plain: such a file is never guessed, and the error names it. Names and answers were
written by hand, from knowledge of public data sets and vendors' protocols; part of them are variants made up to try a
rule. The rules were adjusted until they gave these answers, so the table guards them and does not measure them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest

from metseg.io import find_inputs
from metseg.io.declared_sequences import declared_against_names
from metseg.io.dicom import SequenceHeader
from metseg.io.dicom.sequence_recognition import recognise
from metseg.io.layouts.study_folders import read_names
from metseg.io.sequence_names import is_lesion_mask, name_sequence
from metseg.io.volumes.brain_masks import name_sequences_or_masks
from metseg.io.volumes.image_files import ImageFile

FILES: dict[str, dict[str, str | None]] = {
    "public data sets": {
        "BraTS-MET-00001-000-t1c": "t1c",
        "BraTS-MET-00001-000-t1n": "t1n",
        "BraTS-MET-00001-000-t2f": "t2f",
        "BraTS-MET-00001-000-t2w": "t2w",
        "BraTS19_TCIA01_131_1_t1ce": "t1c",
        "BraTS2021_00000_flair": "t2f",
        "brats_tcia_pat105_1_t1": "t1n",
        "T1c_subtrMeanDivStd": "t1c",
        "Flair_subtrMeanDivStd": "t2f",
        "VSD.Brain.XX.O.MR_T1c.54514": "t1c",
        "VSD.Brain.XX.O.MR_Flair.54512": "t2f",
        "100101A_T1post": "t1c",  # UCSF-BMSR
        "100101A_T1pre": "t1n",
        "100101A_FLAIR": "t2f",
        "100101A_subtraction": None,
        "100101A_T2Synth": None,  # computed; the data set's own layout decides on it
        "CT1_skull_strip": "t1c",  # LUMIERE
        "CT1_r2s_bet_reg": "t1c",
        "T1_r2s_bet_reg": "t1n",
        "FLAIR_r2s_bet_reg": "t2f",
        "T2_skull_strip": "t2w",
        "t1_gd": "t1c",  # Stanford BrainMetShare
        "t1_pre": "t1n",
        "UPENN-GBM-00001_11_T1GD": "t1c",
        "UPENN-GBM-00001_11_T1": "t1n",
        "UPENN-GBM-00001_11_FLAIR": "t2f",
        "UPENN-GBM-00001_11_DTI_FA": None,
        "UPENN-GBM-00001_11_DSC_ap-rCBV": None,
        "UCSF-PDGM-0004_T1c_bias": "t1c",
        "UCSF-PDGM-0004_T2_bias": "t2w",
        "UCSF-PDGM-0004_SWI_bias": None,
        "UCSF-PDGM-0004_ADC": None,
        "UCSF-PDGM-0004_ASL": None,
        "TCGA-02-0006_1996.08.23_t1Gd": "t1c",
        "TCGA-02-0006_1996.08.23_flair": "t2f",
        "T1GD": "t1c",  # Erasmus Glioma Database
        "PatientID_0003_Timepoint_1_brain_t1c": "t1c",  # MU-Glioma-Post
        "PatientID_0003_Timepoint_1_brain_t2f": "t2f",
        "YG_0001_2014-05-08_FLAIR": "t2f",  # Yale
        "YG_0001_2014-05-08_POST": None,
        "YG_0001_2014-05-08_PRE": None,
        "OpenBTAI_0001_T1C": "t1c",
        "100_Patient_03_T1_Gad_reg": "t1c",
        "NYUMets_0001_T1_pre_contrast": "t1n",
        "NYUMets_0001_T1_post_contrast": "t1c",
    },
    "other images and words of other protocols": {
        "T1perf": None,
        "T1Perf": None,
        "T1w_perfusion": None,
        "T1dce": None,
        "T1dyn": None,
        "T2perf": None,
        "T2dsc": None,
        "t2_me2d": None,  # Siemens: MEDIC, several gradient echoes
        "t2_me3d_tra": None,
        "T2_me2d1r3": None,
        "T2_haem": None,
        "T2_hem": None,
        "T2haem": None,
        "T2_haemorrhage": None,
        "SyMRI_T1": None,
        "SyMRI_T2_FLAIR": None,
        "T1_sy_mri": None,
        "T1_MDME": None,
        "QALAS_T1": None,
        "t1pos": None,
        "t1_pos": None,
        "T1_pós": None,
        "T1apos": None,
        "T1nach": None,
        "T1dopo": None,
        "T1_pos_contraste": "t1c",
        "T2_dark-fld": "t2f",
        "T2_dark_flud": "t2f",
        "t2_drk_fld": "t2f",
        "T2_dark_fluid": "t2f",
        "T2_da-fl": "t2f",
        "T1_post": None,
        "T1_space": "t1n",
    },
    "negated agents": {
        "T1_without_contrast": "t1n",
        "T1-wo-contrast": "t1n",
        "T1_w_o_contrast": "t1n",
        "t1_no_contrast": "t1n",
        "T1_non_contrast": "t1n",
        "T1_noncontrast": "t1n",
        "T1_non-enhanced": "t1n",
        "T1_unenhanced": "t1n",
        "T1_NONCON": "t1n",
        "T1_no_gad": "t1n",
        "T1_ohne_KM": "t1n",
        "T1_oKM": "t1n",
        "T1noGd": "t1n",
        "T1nonGd": "t1n",
        "t1nogd": "t1n",
        "t1_tra_o_KM": "t1n",
        "T1_nativ": "t1n",
        "T1_sans_gado": "t1n",
        "T1_sans_injection": "t1n",
        "T1_sans_produit_de_contraste": "t1n",
        "T1_senza_mdc": "t1n",
        "T1_senza_mezzo_di_contrasto": "t1n",
        "T1_sin_contraste": "t1n",
        "T1_sin_civ": "t1n",
        "T1_sem_contraste": "t1n",
        "T1_zonder_contrast": "t1n",
        "T1_utan_kontrast": "t1n",
        "T1_uden_kontrast": "t1n",
        "T1_bez_kontrastu": "t1n",
        "T1_contrast_free": "t1n",
        "T1_без_контраста": "t1n",
        "T1_平扫": "t1n",
        "T1_vor_KM": "t1n",
        "T1_before_gadolinium": "t1n",
        "T1_avant_injection": "t1n",
        "T1_precontrast": "t1n",
        "T1_native": "t1n",
    },
    "agents": {
        "T1_with_contrast": "t1c",
        "T1-Gd": "t1c",
        "T1w_ce": "t1c",
        "T1wce": "t1c",
        "T1KM": "t1c",
        "t1_tra_KM": "t1c",
        "T1_nach_KM": "t1c",
        "T1_mit_KM": "t1c",
        "T1_avec_gado": "t1c",
        "T1_apres_injection": "t1c",
        "T1_gado": "t1c",
        "T1_con_contraste": "t1c",
        "T1_con_mdc": "t1c",
        "T1_dopo_mdc": "t1c",
        "T1_com_contraste": "t1c",
        "T1_met_contrast": "t1c",
        "T1_med_kontrast": "t1c",
        "T1_s_kontrastem": "t1c",
        "T1_po_kontrascie": "t1c",
        "T1_\u0441_контрастом": "t1c",
        "T1_增强": "t1c",
        "T1_contrast_enhanced": "t1c",
        "CE-T1": "t1c",
        "ceT1w": "t1c",
        "Gd-T1": "t1c",
        "MPRAGE_postgad": "t1c",
        "T1_postcontrast": "t1c",
        "T1PostGad": "t1c",
        "P7_T1_AX_POST_GAD": "t1c",
        "T1_Dotarem": "t1c",
        "T1_Gadovist": "t1c",
    },
    "before and after what": {
        "pre_treatment_t1c": "t1c",
        "pretreatment_T1_gd": "t1c",
        "preop_T1c": "t1c",
        "post_RT_t1ce": "t1c",
        "postop_T1_with_contrast": "t1c",
        "postop_T1": "t1n",
        "T1_post_op": "t1n",
        "T1_post-treatment": "t1n",
        "T1_post_surgery": "t1n",
        "T1_posterior": "t1n",
        "T1_postprocessed": "t1n",
        "T1_preprocessed": "t1n",
        "pre_op_T1": "t1n",
        "T1_pre": "t1n",
        "T1_post": None,
        "T1_POST_AX": None,
        "post_T1": None,
        "T1_inj": None,
        "T1_injecte": None,
        "T1_after": None,
        "T1_C": None,
        "t1-c": None,
        "mprage_post": None,
        "mpragepost": None,
        "T1_with_without_contrast": None,
        "T1_pre_post_gad": None,
        "T1_pre_gad_post_gad": None,
        "T1_arterial": None,
        "KM_01_T1": None,  # may be initials
        "T1c_to_T1": None,
        "T1_in_T1ce_space": None,
        "T1_造影": None,  # with or without it does not say
    },
    "other words": {
        "t1": "t1n",
        "T1w": "t1n",
        "rT1": "t1n",  # SPM: resliced
        "3DT1": "t1n",
        "mprage": "t1n",
        "T1_without_fatsat": "t1n",
        "T1_space_iso": "t1n",
        "T1_accelerated": "t1n",
        "T1_center": "t1n",
        "T1_coronal": "t1n",
        "T1_concat": "t1n",
        "T2": "t2w",
        "T2_TSE": "t2w",
        "t2_space": "t2w",
        "flair": "t2f",
        "T2_FLAIR": "t2f",
        "T2_dark_fluid": "t2f",
        "t2_tirm_tra_dark-fl": "t2f",
        "t2_space_da-fl_sag": "t2f",
        "t2_darkfl": "t2f",
        "t2_tse_DarkFluid": "t2f",
        "t2_spc_df_sag": "t2f",
        "t2_tirm_tra": None,
        "t2_spc_ir": None,
        "t1_flair": None,
        "flair_in_t1_space": None,
        "T1_to_T2": None,
        "CT_to_T1": None,
        "FLAIR_star": None,
        "y_T1": None,  # SPM: a deformation field
        "T2star": None,
        "T2_star": None,
        "T2s": None,
        "T2starw": None,
        "GRE": None,
        "T2_GRE": None,
        "SWI": None,
        "T1_map": None,
        "T1map": None,
        "T2_map": None,
        "qT1": None,
        "T1rho": None,
        "rCBV_map": None,
        "ADC": None,
        "dwi_b1000_T2": None,
        "STIR": None,
        "T2_STIR": None,
        "T1_sub": None,
        "T1c_subtraction": None,
        "T1post-T1pre_subtracted": None,
        "deltaT1": None,
        "T1_phase": None,
        "T1_MP2RAGE_INV1": None,
        "MP2RAGE_UNI": None,
        "mp2rage_inv2": None,
        "T1_T2": None,
        "scan": None,
        "brain": None,
        "visit1": None,
        "T12_spine": None,
    },
}

BIDS: dict[str, str | None] = {
    "sub-01_T1w": "t1n",
    "sub-01_ses-1_T1w": "t1n",
    "sub-01_ce-gadolinium_T1w": "t1c",
    "sub-01_ce-gd_acq-mprage_T1w": "t1c",
    "sub-01_ce-none_T1w": "t1n",
    "sub-01_acq-space_T1w": "t1n",
    "sub-01_acq-accelerated_T1w": "t1n",
    "sub-01_acq-iso1mm_T1w": "t1n",
    "sub-01_acq-postop_T1w": "t1n",
    "sub-01_acq-posterior_T1w": "t1n",
    "sub-01_acq-precontrast_T1w": "t1n",
    "sub-01_acq-noncontrast_T1w": "t1n",
    "sub-01_acq-withoutcontrast_T1w": "t1n",
    "sub-01_acq-postcontrast_T1w": "t1c",
    "sub-01_acq-mpragegd_T1w": "t1c",
    "sub-01_acq-ce_T1w": "t1c",
    "sub-01_acq-T1ce_T1w": "t1c",
    "sub-01_acq-post_T1w": None,
    "sub-01_acq-mpragepost_T1w": None,
    "sub-01_inv-1_MP2RAGE": None,
    "sub-01_UNIT1": None,
    "sub-01_T1map": None,
    "sub-01_T2starw": None,
    "sub-01_T2w": "t2w",
    "sub-01_acq-highres_T2w": "t2w",
    "sub-01_FLAIR": "t2f",
    "sub-01_ce-gadolinium_FLAIR": "t2f",
    "sub-01_PDT2": None,
    "sub-01_part-phase_T1w": None,
    "sub-01_dir-AP_dwi": None,
    "sub-01_inplaneT2": None,
}

#: Descriptions whose header says nothing of contrast agent.
DESCRIPTIONS: dict[str, dict[str, str | None]] = {
    "Siemens": {
        "t1_mprage_sag_p2_iso": "t1n",
        "t1_mprage_sag_p2_iso_km": "t1c",
        "t1_mprage_tra_p2_iso_1mm_KM": "t1c",
        "t1_mprage_sag_p2_iso_nativ": "t1n",
        "t1_fl2d_tra": "t1n",
        "t1_fl2d_tra_KM": "t1c",
        "t1_se_tra+c": "t1c",
        "t1_tse_dark-fluid_tra_post contrast": "t1c",
        "t1_vibe_fs_tra_post_gd": "t1c",
        "t1_space_sag_p2_iso_ce": "t1c",
        "t1_vibe_dixon_tra_opp": None,
        "t2_tirm_tra_dark-fluid": "t2f",
        "t2_space_dark-fluid_sag_p2_iso": "t2f",
        "t2_spc_da-fl_sag_p2_iso": "t2f",
        "t2_tse_tra_512": "t2w",
        "t2_blade_tra": "t2w",
        "t2_spc_sag_p2_iso": "t2w",
        "t2_tirm_cor": None,
        "t2_fl2d_tra_hemo": None,
        "t1_mp2rage_sag_p3_iso_INV1": None,
        "t1_mp2rage_sag_p3_iso_UNI_Images": None,
        "t1_mp2rage_sag_p3_iso_T1_Images": None,
        "ep2d_diff_3scan_trace_p2_ADC": None,
        "ep2d_perf_p2": None,
        "Pha_Images": None,
        "T1 tra SE ohne KM": "t1n",
        "T1 tra SE mit KM": "t1c",
        "T1 post - T1 prä SUB": None,
    },
    "GE": {
        "Ax T1 FSE +C": "t1c",
        "Ax T1 FSE": "t1n",
        "SAG 3D T1 BRAVO": "t1n",
        "SAG 3D T1 BRAVO POST": None,
        "SAG 3D T1 BRAVO POST GAD": "t1c",
        "3D Ax T1 MPRAGE C+": "t1c",
        "Ax T1 FLAIR": "t1n",
        "AX T2 FLAIR FS": "t2f",
        "Sag CUBE T2 FLAIR": "t2f",
        "Sag T1 CUBE +C": "t1c",
        "Sag CUBE T2": "t2w",
        "AX T2 PROPELLER": "t2w",
        "Ax T2* GRE": None,
        "AX SWAN": None,
        "Ax DWI b1000": None,
        "AX T1 POST-OP": "t1n",
        "AX T1 POST": None,
        "AX T1 PRE": "t1n",
        "AX T1 W/O": "t1n",
        "AX T1 W/ CONTRAST": "t1c",
        "AX T1 W/O CON": "t1n",
        "AX T1 W/WO": None,
        "AX 3D SPGR": "t1n",
        "AX FSPGR 3D +GD": "t1c",
        "Apparent Diffusion Coefficient (mm2/s)": None,
        "Loc": None,
        "3D TOF": None,
        "AX STIR": None,
    },
    "Philips": {
        "T1W_3D_TFE": "t1n",
        "T1W_3D_TFE_CE": "t1c",
        "sT1W_3D_TFE_SENSE": "t1n",
        "eT1W_SE_GD": "t1c",
        "eT1W_SE": "t1n",
        "T1W_TSE +C": "t1c",
        "T1W_FFE": "t1n",
        "3D_BrainVIEW_T1 GADO": "t1c",
        "3D_BrainVIEW_FLAIR": "t2f",
        "FLAIR_3D_VISTA": "t2f",
        "T2W_TSE_MV": "t2w",
        "T2W_VISTA": "t2w",
        "T2W_FLAIR SENSE": "t2f",
        "T2W_FFE": None,
        "SWIp": None,
        "dADC": None,
        "PDW_T2W_TSE": None,
        "WIP T1W_SE_CE SENSE": "t1c",
    },
    "hospitals": {
        "T1 AX SANS INJ": "t1n",
        "T1 EG 3D SANS GADO": "t1n",
        "T1 EG 3D GADO": "t1c",
        "AX T1 INJECTÉ": None,
        "T1 SE sagittale senza mdc": "t1n",
        "T1 SE assiale con mdc": "t1c",
        "T1 dopo m.d.c.": "t1c",
        "T1 TSE S/C": "t1n",
        "T1 AXIAL C/C": "t1c",
        "AX T1 s/ contraste": "t1n",
        "AX T1 c/ contraste": "t1c",
        "T1 SAG SIN CONTRASTE": "t1n",
        "T1 POST CIV": "t1c",
        "T1 tra n. KM": "t1c",
        "T1 tra v. KM": "t1n",
        "T1 SE KM sag": "t1c",
        "T1 tra zonder contrast": "t1n",
        "T1 tra na contrast": "t1c",
        "T1 tra utan kontrast": "t1n",
        "T1 MPR bez KL": "t1n",
        "T1 MPR po KL": "t1c",
        "T1W 3D без контраста": "t1n",
        "T1 増強前": "t1n",
        "T1 增强": "t1c",
        "T1 до контраста": None,
        "T1 posterior fossa": "t1n",
        "T1 AX post tx day 3": "t1n",
        "T1 +C post op": "t1c",
        "T1 no contrast given": "t1n",
        "FLAIR POST GAD": "t2f",
        "Ax T2 FLAIR POST": "t2f",
    },
}

#: The header's contrast agent settles what "post" and silence leave open, and contradicts what it contradicts.
WITH_HEADER: list[tuple[str, bool, str | None]] = [
    ("AX T1 POST", True, "t1c"),
    ("AX T1 POST", False, None),
    ("AX T1 INJ", True, "t1c"),
    ("AX T1 C", True, "t1c"),
    ("AX T1 POST-OP", True, "t1c"),
    ("AX T1 POST-OP", False, "t1n"),
    ("t1_fl2d_tra", True, "t1c"),
    ("AX T1 PRE", True, None),
    ("T1 ohne KM", True, None),
    ("AX T1 W/WO", True, "t1c"),
    ("AX T1 W/WO", False, None),
]

ALL_FILES = [(name, modality) for names in FILES.values() for name, modality in names.items()]
ALL_DESCRIPTIONS = [(name, modality) for names in DESCRIPTIONS.values() for name, modality in names.items()]


def test_there_are_enough_names() -> None:
    assert len(ALL_FILES) + len(BIDS) + len(ALL_DESCRIPTIONS) + len(WITH_HEADER) >= 150


@pytest.mark.parametrize(("name", "modality"), [*ALL_FILES, *BIDS.items()])
def test_file_names(name: str, modality: str | None) -> None:
    assert name_sequence(name).modality == modality, name_sequence(name).reason


@pytest.mark.parametrize(("description", "modality"), ALL_DESCRIPTIONS)
def test_descriptions(description: str, modality: str | None) -> None:
    found = recognise(SequenceHeader(description=description))
    assert found.modality == modality, found.reason


@pytest.mark.parametrize(("description", "modality"), ALL_DESCRIPTIONS)
def test_one_set_of_rules(description: str, modality: str | None) -> None:
    """A description as a file name says the same, or less: only a header can tell T1 FLAIR from T1 and FLAIR."""
    assert name_sequence(description).modality in (modality, None)


@pytest.mark.parametrize(("description", "contrast", "modality"), WITH_HEADER)
def test_the_contrast_agent_of_the_header(description: str, contrast: bool, modality: str | None) -> None:
    found = recognise(SequenceHeader(description=description, contrast=contrast))
    assert found.modality == modality, found.reason


@pytest.mark.parametrize(("name", "modality"), [*ALL_FILES, *ALL_DESCRIPTIONS])
def test_reasons_repeat_no_name(name: str, modality: str | None) -> None:
    reason = name_sequence(f"MUELLER_{name}").reason
    assert "ueller" not in reason.lower()
    assert not reason.endswith(".")


def test_a_name_that_is_not_plain_is_no_mask_of_a_lesion() -> None:
    assert not is_lesion_mask("MET_7_T1_POST")
    assert not is_lesion_mask("tumor_ADC")
    assert is_lesion_mask("tumor_reader2")


#: What patterns repeat, as a name may repeat it up to the longest name there is.
REPEATED = (
    "1",
    "t1",
    "a ",
    "no ",
    "de ",
    "i v ",
    "post ",
    "pre gd ",
    "w o ",
    "c+",
    "da fl ",
    "*",
    "\ufdfa",
    "1mm",
    "x-",
)


@pytest.mark.parametrize("unit", REPEATED)
@pytest.mark.parametrize(("before", "after"), [("sub-1_acq-", "x_T1w"), ("T1_", ""), ("", "!")])
def test_no_name_is_tried_in_every_division(unit: str, before: str, after: str) -> None:
    """A pattern with a repetition in a repetition would not end in years: the file's name comes with an upload."""
    fill = 255 - len(before) - len(after)
    name = before + (unit * fill)[:fill] + after
    assert len(name) == 255
    assert name_sequence(name).reason
    assert recognise(SequenceHeader(description=name, protocol=name)).reason


def test_a_long_number_in_a_label_says_nothing_of_the_sequence() -> None:
    assert name_sequence("sub-1_acq-" + "1" * 200 + "x_T1w").modality == "t1n"


def test_nothing_is_concluded_from_a_name_longer_than_any_file_system_has() -> None:
    """What its end takes back would be cut off with it."""
    long = "T1_" + "x" * 10_000 + "_without_contrast"
    for name in (long, "sub-1_acq-" + "1" * 10_000 + "x_T1w"):
        found = name_sequence(name)
        assert (found.modality, found.is_silent) == (None, False)
        assert found.reason == "the name is a text of more than 255 characters"
        assert recognise(SequenceHeader(description=name)).modality is None


#: Names of a folder, and what each file is: patients whose ids look like words for other kinds of images.
STUDIES: dict[str, dict[str, str | None]] = {
    "proton density": {"PD_012_T1": "t1n", "PD_012_FLAIR": "t2f", "PD_012_seg": "lesions"},
    "computed tomography": {"CT_001_FLAIR": "t2f", "CT_001_t1c": "t1c"},
    "a centre before the number": {"CENTER_CT_001_FLAIR": "t2f", "CENTER_CT_001_t1c": "t1c"},
    "MP2RAGE": {"UNI_03_T1": "t1n", "UNI_03_T2": "t2w"},
    "a b-value": {"B100_T1c": "t1c", "B100_t2": "t2w"},
    "magnetisation transfer": {"MT-07_T1": "t1n", "MT-07_FLAIR": "t2f"},
    "spectroscopy": {"CSI_01_T1c": "t1c", "CSI_01_T1": "t1n"},
    "inversion recovery": {"IR_003_T2": "t2w", "IR_003_T1": "t1n"},
    "a map of that patient": {"PD_012_T1": "t1n", "PD_012_T1_map": None, "PD_012_PD": None},
    "words of masks": {"Gold_01_T1": "t1n", "Gold_01_FLAIR": "t2f"},
    "initials": {"GT_05_T1": "t1n", "GT_05_FLAIR": "t2f", "GT_05_tumor": "lesions"},
    "several patients": {"PD_012_T1": "t1n", "PD_012_T2": "t2w", "PD_013_T1": "t1n", "PD_013_T2": "t2w"},
    "by hand": {"T1_brain_manual": "t1n", "FLAIR": "t2f", "manual": "lesions"},
    "brain cut out by hand": {"t1c_manual_bet": "t1c", "t2": "t2w", "annotation_lesion_t2": "lesions"},
    "by hand, beside its image": {
        "FLAIR": "t2f",
        "flair_manual": "lesions",
        "T1_brain": "t1n",
        "T1_brain_manual": "t1n",
    },
    "a truth": {"GOLD_STANDARD_FLAIR": "lesions", "FLAIR": "t2f", "T1_groundtruth": "lesions"},
    # What all names say is not only the patient.
    "diffusion": {"dwi_b1000_T2": None, "dwi_b1000_T1": None},
    "maps": {"ADC_T1": None, "ADC_T2": None},
    "before and after": {"T1_pre": "t1n", "T1_post_gad": "t1c"},
    "all with agent": {"post_contrast_T1": "t1c", "post_contrast_T2": "t2w"},
    "all without": {"no_contrast_1_T1": "t1n", "no_contrast_1_T2": "t2w"},
    "one file": {"PD_012_T1": None},
}


@pytest.mark.parametrize("folder", STUDIES)
def test_a_patients_id_does_not_say_what_an_image_is(folder: str) -> None:
    wanted = STUDIES[folder]
    found = {path.stem: name.modality for path, name in read_names([PurePosixPath(name) for name in wanted]).items()}
    assert found == wanted
    images = {stem: modality for stem, modality in wanted.items() if modality != "lesions"}
    if len(images) == len(wanted) and folder != "several patients":  # an upload is one study
        assert [name.modality for name in name_sequences_or_masks(list(images))] == list(images.values())


def test_a_study_of_a_patient_with_an_id_like_an_image_is_read(tmp_path: Path) -> None:
    for name in ("CT_001_FLAIR", "CT_001_t1c", "CT_002_FLAIR", "CT_002_t1c"):
        path = tmp_path / name[:6] / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.eye(4)), path)
    found = {source.patient: set(source.load().images) for source in find_inputs(tmp_path)}
    assert found == {"CT_001": {"t2f", "t1c"}, "CT_002": {"t2f", "t1c"}}


def test_a_declaration_is_held_against_the_name_without_the_patients_id() -> None:
    files = {"t1c": ImageFile(Path("CT_001_T1.nii.gz")), "t2f": ImageFile(Path("CT_001_FLAIR.nii.gz"))}
    (note,) = declared_against_names(files)
    assert "CT_001_T1.nii.gz is declared to be t1c, and its name says t1n" in note
