"""Folders of trained models: what is written, that it moves, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from safetensors.torch import load_file, save_file

import flmm_plugin
from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.engine import FrozenCheckHook
from flmm_plugin.errors import UserError
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.weights.hub_config import FORMAT, HubFolderError
from flmm_plugin.models.weights.hub_folder import HubFolder
from flmm_plugin.models.weights.trained_state import CheckpointError
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm, tiny_refiner
from tests.tiny_llava import save_tiny_llava
from tests.tiny_lmms import FAMILIES


def build(lmm_dir: Path, **changes: Any) -> BaseModel:
    torch.manual_seed(3)
    refiner = tiny_refiner(checkpoint=str(lmm_dir.parent / 'sam.safetensors'))
    return MODELS.build(tiny_flmm(lmm_dir, FAMILIES['llava'][1], **{'refiner': refiner, **changes})).eval()


@pytest.fixture
def lmm_dir(tmp_path: Path, lmm_dirs: dict[str, Path]) -> Path:
    """An LMM, and beside it the weights of a SAM: neither is in the folders that are written."""
    shutil.copytree(lmm_dirs['llava'], tmp_path / 'lmm')
    torch.manual_seed(5)
    sam = MODELS.build(tiny_refiner()).model
    save_file(sam.state_dict(), tmp_path / 'sam.safetensors')
    return tmp_path / 'lmm'


@pytest.fixture
def saved(lmm_dir: Path, tmp_path: Path) -> Path:
    build(lmm_dir).save_pretrained(tmp_path / 'saved', model_card_kwargs=dict(training_data='400 scenes'))
    return tmp_path / 'saved'


def change(folder: Path, **content: Any) -> None:
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **content}))


def outputs(model: BaseModel) -> list[dict[str, Any]]:
    with torch.no_grad():
        return model(*four_samples(), mode='tensor')


def test_a_folder_that_moved_gives_identical_masks(lmm_dir: Path, saved: Path, tmp_path: Path) -> None:
    model = build(lmm_dir)
    shutil.move(saved, tmp_path / 'elsewhere')
    torch.manual_seed(99)  # what is not loaded comes out otherwise
    again = FLMM.from_pretrained(tmp_path / 'elsewhere')
    assert not again.training
    for one, other in zip(outputs(model), outputs(again), strict=True):
        for name in ('coarse_logits', 'refined_logits', 'scores'):
            assert torch.equal(one[name], other[name])


def test_the_weights_are_those_that_are_trained(lmm_dir: Path, saved: Path) -> None:
    model = build(lmm_dir)
    written = load_file(saved / 'model.safetensors')
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in model.mask_head.named_buffers(prefix='mask_head')}
    assert trained <= set(written) == set(model.state_dict())
    assert not any(name.startswith(('lmm.', 'sam.model.image_encoder')) for name in written)
    assert buffers <= set(written)


def test_the_config_says_what_it_was_trained_on(lmm_dir: Path, saved: Path) -> None:
    content = json.loads((saved / 'config.json').read_text())
    model = build(lmm_dir)
    assert content['format'] == FORMAT and content['flmm_plugin_version'] == flmm_plugin.__version__
    assert content['trained_on'] == dict(name=str(lmm_dir), fingerprint=model.lmm_fingerprint())
    assert content['model']['type'] == 'FLMM' and content['model']['mask_head']['base_channels'] == 4
    card = (saved / 'README.md').read_text()
    assert card.startswith('---\n') and '400 scenes' in card and model.lmm_fingerprint() in card


def test_the_revision_that_the_hub_gave_is_kept(lmm_dir: Path) -> None:
    model = build(lmm_dir)
    model.lmm.config._commit_hash = '0a1b'
    assert model.trained_on()['revision'] == '0a1b'
    checkpoint: dict[str, Any] = dict(meta={})
    FrozenCheckHook().before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
    assert checkpoint['meta'] == dict(lmm_fingerprint=model.lmm_fingerprint(), lmm_revision='0a1b')


def test_the_card_says_how_it_was_trained_or_how_to_state_it(lmm_dir: Path, tmp_path: Path) -> None:
    """A run tells the model, which tells its checkpoints and folders."""
    model = build(lmm_dir)
    model.save_pretrained(tmp_path / 'unknown')
    card = (tmp_path / 'unknown/README.md').read_text()
    for field in ('training_data', 'metrics', 'command'):
        assert f'model_card_kwargs=dict({field}=...)' in card and f'--{field.replace("_", "-")}`' in card
    data = dict(type='PNGDataset', data_root='/data', ann_file='png.json')
    run = SimpleNamespace(model=model, cfg=Config(dict(train_dataloader=dict(dataset=data)), 'text', 'c/leaf.py'))
    run.logger = logging.getLogger('test')
    FrozenCheckHook().before_train(run)
    checkpoint: dict[str, Any] = dict(meta={})
    FrozenCheckHook().before_save_checkpoint(run, checkpoint)
    assert checkpoint['meta']['trained_by'] == 'c/leaf.py'
    again = build(lmm_dir)
    FrozenCheckHook().after_load_checkpoint(SimpleNamespace(model=again, cfg=Config({}, 'text', 'test.py')), checkpoint)
    again.save_pretrained(tmp_path / 'known')
    FLMM.from_pretrained(tmp_path / 'known').save_pretrained(tmp_path / 'copy', repo_id='me/copy')
    for name, source in (('known', 'known'), ('copy', 'me/copy')):
        card = (tmp_path / name / 'README.md').read_text()
        assert '| trained on | PNGDataset (/data/png.json) |' in card
        assert f'tools/export.py {source} {name}.pth\npython tools/test.py c/leaf.py {name}.pth' in card


def test_folders_and_heads_files_of_this_machine_are_not_in_the_config(lmm_dir: Path, tmp_path: Path) -> None:
    heads = tmp_path / 'heads.json'
    heads.write_text(json.dumps(dict(heads=[3, 1])))
    model = build(
        lmm_dir,
        lmm=dict(type='LlavaLMM', pretrained=str(lmm_dir), heads=str(heads), map_folder=str(tmp_path / 'maps')),
    )
    model.save_pretrained(tmp_path / 'saved')
    heads.unlink()
    content = json.loads((tmp_path / 'saved/config.json').read_text())
    assert content['model']['lmm'] == dict(type='LlavaLMM', pretrained=str(lmm_dir), heads=[1, 3])
    assert FLMM.from_pretrained(tmp_path / 'saved').lmm.heads == (1, 3)


def test_folders_that_a_config_names_are_not_written_to(saved: Path, tmp_path: Path) -> None:
    model = json.loads((saved / 'config.json').read_text())['model']
    for part, name in (('lmm', 'map_folder'), ('refiner', 'feature_folder')):
        model[part][name] = str(tmp_path / name)
    change(saved, model=model)
    outputs(FLMM.from_pretrained(saved))
    assert not (tmp_path / 'map_folder').exists() and not (tmp_path / 'feature_folder').exists()
    outputs(FLMM.from_pretrained(saved, refiner=dict(feature_folder=str(tmp_path / 'own'))))
    assert any((tmp_path / 'own').iterdir())


def test_parts_can_be_elsewhere_on_another_machine(lmm_dir: Path, saved: Path, tmp_path: Path) -> None:
    expected = outputs(build(lmm_dir))
    moved = lmm_dir.rename(tmp_path / 'other_lmm')
    sam = (tmp_path / 'sam.safetensors').rename(tmp_path / 'other.safetensors')
    with pytest.raises(UserError, match=f'{lmm_dir}.*Is the name right'):
        FLMM.from_pretrained(saved)
    (moved / 'model.safetensors').rename(tmp_path / 'weights')
    for ask in (FLMM.from_pretrained, FLMMInferencer.from_pretrained):
        with pytest.raises(UserError, match=f'{moved} cannot be loaded'):
            ask(saved, lmm=dict(pretrained=str(moved)))
    (tmp_path / 'weights').rename(moved / 'model.safetensors')
    model = FLMM.from_pretrained(saved, lmm=dict(pretrained=str(moved)), refiner=dict(checkpoint=str(sam)))
    assert torch.equal(outputs(model)[0]['refined_logits'], expected[0]['refined_logits'])


def test_another_lmm_of_the_same_shapes_is_refused(saved: Path, tmp_path: Path) -> None:
    other = save_tiny_llava(tmp_path / 'other', seed=9)
    with pytest.raises(CheckpointError, match='trained on an LMM with other weights'):
        FLMM.from_pretrained(saved, lmm=dict(pretrained=str(other)))


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'extra.PKL', 'kept/before/model.pth'])
def test_a_pickle_is_refused(saved: Path, name: str) -> None:
    (saved / name).parent.mkdir(parents=True, exist_ok=True)
    (saved / name).write_bytes(b'\x80\x02.')
    with pytest.raises(HubFolderError, match=f'{name}.*run code'):
        HubFolder.fetch(saved)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(HubFolderError, match=f'has no {name}'):
        HubFolder.fetch(saved)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_a_damaged_file_is_named(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(HubFolderError, match=f'{name} is'):
        HubFolder.fetch(saved)


def test_a_newer_format_is_refused(saved: Path) -> None:
    change(saved, format=FORMAT + 1, flmm_plugin_version='9.0')
    with pytest.raises(HubFolderError, match=r'written by flmm_plugin 9\.0.*upgrade'):
        HubFolder.fetch(saved)


#: Its constructor runs the config file that an argument names.
KD = 'mmdet.KnowledgeDistillationSingleStageDetector'


@pytest.mark.parametrize(
    'kind', ['os.system', 'subprocess.Popen', 'Nothing', 'torch.nn.Linear', 3, 'mmdet.os.system', KD]
)
def test_types_that_are_not_registered_are_refused(saved: Path, kind: Any) -> None:
    model = json.loads((saved / 'config.json').read_text())['model']
    change(saved, model={**model, 'mask_head': dict(type=kind, args='true')})
    with pytest.raises(HubFolderError, match='none in the registries'):
        FLMM.from_pretrained(saved)


@pytest.mark.parametrize(
    'change_of_head', [dict(_scope_='saved'), dict(options=[dict(trust_remote_code=True)]), dict(_base_='evil.py')]
)
def test_keys_by_which_code_runs_are_refused(saved: Path, change_of_head: dict[str, Any]) -> None:
    model = json.loads((saved / 'config.json').read_text())['model']
    change(saved, model={**model, 'mask_head': {**model['mask_head'], **change_of_head}})
    with pytest.raises(HubFolderError, match='by which code could be run'):
        HubFolder.fetch(saved)


def test_python_in_the_folder_is_never_imported(
    saved: Path, lmm_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scope of mmengine is a package that it imports, and the current folder is where Python looks first."""
    (saved / 'registry.py').write_text('print("ran")')
    (saved / '__init__.py').touch()
    change(saved, default_scope='saved', custom_imports=dict(imports=['saved.registry']), filename='evil.py')
    monkeypatch.syspath_prepend(str(saved.parent))
    FLMMInferencer.from_pretrained(saved, 'cpu')
    FLMM.from_pretrained(saved)
    assert 'saved.registry' not in sys.modules and 'ran' not in capsys.readouterr().out


@pytest.mark.parametrize('kind', ['LlavaLMM', 'AutoLMM'])
def test_code_of_the_lmm_s_folder_is_not_run_whatever_is_answered(
    saved: Path, lmm_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """transformers asks at the terminal where nothing is said; tools/chat.py reads questions from there."""
    (lmm_dir / 'evil.py').write_text(f'open({str(saved / "ran")!r}, "w")\nclass Config: ...')
    about = json.loads((lmm_dir / 'config.json').read_text())
    about.update(model_type='unknown', auto_map=dict(AutoConfig='evil.Config'))
    (lmm_dir / 'config.json').write_text(json.dumps(about))
    monkeypatch.setattr('builtins.input', lambda *_: 'y')
    with pytest.raises((UserError, ValueError)):
        FLMM.from_pretrained(saved, lmm=dict(type=kind))
    assert not (saved / 'ran').exists()


def test_the_scope_of_another_package_does_not_matter(saved: Path) -> None:
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert isinstance(FLMM.from_pretrained(saved), FLMM)


@pytest.mark.parametrize('trained_on', [None, dict(name=['tiny'])])
def test_a_folder_that_does_not_say_its_lmm_is_refused(saved: Path, trained_on: Any) -> None:
    change(saved, trained_on=trained_on)
    with pytest.raises(HubFolderError, match='trained_on'):
        FLMM.from_pretrained(saved)


@pytest.mark.parametrize(
    'named',
    [
        dict(surprise=1),
        dict(type='SAMRefiner'),
        dict(type='mmdet.DiceLoss'),
        dict(type=None),
        dict(mask_head=dict(type='UNetMaskHead', surprise=1)),
    ],
)
def test_arguments_that_the_model_does_not_take_are_refused(saved: Path, named: dict[str, Any]) -> None:
    model = json.loads((saved / 'config.json').read_text())['model']
    change(saved, model={**model, **named})
    with pytest.raises(HubFolderError, match=r'config\.json'):
        HubFolder.fetch(saved)


def test_misspelt_changes_are_refused(saved: Path) -> None:
    with pytest.raises(HubFolderError, match=r'LlavaLMM .*dtpe.*misspelt'):
        FLMM.from_pretrained(saved, lmm=dict(dtpe='float32'))


def test_configs_that_are_none_are_refused(saved: Path) -> None:
    change(saved, format=True)
    with pytest.raises(HubFolderError, match='no config of a model of flmm_plugin'):
        HubFolder.fetch(saved)
    (saved / 'config.json').write_text('{"model_type": "llama"}')
    with pytest.raises(HubFolderError, match='no config of a model of flmm_plugin'):
        HubFolder.fetch(saved)


def test_names_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(HubFolderError, match='no name of the Hub'):
        HubFolder.fetch(tmp_path / 'nowhere/at/all')
    with pytest.raises(HubFolderError, match='Without a network'):
        HubFolder.fetch('owner/name', local_files_only=True, cache_dir=tmp_path)


def test_what_is_pushed_is_the_folder(lmm_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub's own method up to the call that sends."""
    sent, cards = {}, []

    def create(self: Any, repo_id: str, **_: Any) -> Any:
        return type('Url', (), {'repo_id': repo_id})

    def upload(self: Any, *, folder_path: Path, repo_id: str, **_: Any) -> str:
        cards.append((Path(folder_path) / 'README.md').read_text())
        sent[repo_id] = {file.name for file in Path(folder_path).iterdir()}
        return 'commit'

    monkeypatch.setattr(HfApi, 'create_repo', create)
    monkeypatch.setattr(HfApi, 'upload_folder', upload)
    build(lmm_dir).push_to_hub('me/grounder', model_card_kwargs=dict(command='python t.py'))
    assert sent == {'me/grounder': {'config.json', 'model.safetensors', 'README.md'}}
    assert "from_pretrained('me/grounder')" in cards[0] and 'python t.py' in cards[0]
