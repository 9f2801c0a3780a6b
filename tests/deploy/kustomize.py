"""Renders a kustomization where no kubectl is: `kustomize.py FOLDER` prints its objects as a JSON list.

It knows what deploy/ uses (resources, components, strategic merge patches by path, generated ConfigMaps and Secrets,
images) and refuses everything else. `kustomize.py --compare FOLDER` reads what `kubectl kustomize FOLDER` printed from
standard input, and tells by its exit code whether that is the same.
"""

import base64
import itertools
import json
import pathlib
import sys

import yaml

KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "generatorOptions", "configMapGenerator",
         "secretGenerator", "images"}

# The field by which a patch finds the items of a list; other lists are replaced.
MERGE_KEYS = {"containers": "name", "initContainers": "name", "volumes": "name", "env": "name",
              "volumeMounts": "mountPath", "ports": "containerPort"}


def render(folder, inherited=()):
    """The objects of the kustomization in `folder`, which comes on top of those `inherited`."""
    text = (folder / "kustomization.yaml").read_text()
    kustomization = yaml.safe_load(text)
    unknown = set(kustomization) - KNOWN
    assert not unknown, f"{folder}: this renderer does not know {unknown}"
    objects = list(inherited)
    for name in kustomization.get("resources", []):
        path = folder / name
        objects += render(path) if path.is_dir() else [one for one in yaml.safe_load_all(path.read_text()) if one]
    generated = [configuration(folder, one) for one in kustomization.get("configMapGenerator", [])]
    generated += [secret(folder, one) for one in kustomization.get("secretGenerator", [])]
    if generated:
        assert kustomization["generatorOptions"] == {"disableNameSuffixHash": True}, folder
    objects += generated
    for name in kustomization.get("components", []):
        objects = render(folder / name, objects)
    for patch in kustomization.get("patches", []):
        assert set(patch) == {"path"}, patch
        apply(objects, yaml.safe_load((folder / patch["path"]).read_text()))
    for image in kustomization.get("images", []):
        for one in objects:
            rename(one, image)
    names = [identity(one) for one in objects]
    assert len(names) == len(set(names)), f"{folder}: twice the same in {names}"
    return objects


def identity(one):
    return one["kind"], one["metadata"]["name"]


def apply(objects, patch):
    found = [at for at, one in enumerate(objects) if identity(one) == identity(patch)]
    assert len(found) == 1, f"a patch of {identity(patch)} finds {len(found)} objects"
    objects[found[0]] = merged(objects[found[0]], patch)


def merged(old, new, field=None):
    if isinstance(old, dict) and isinstance(new, dict):
        assert not any(key.startswith("$") for key in new), new
        return old | {key: merged(old[key], value, key) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and field in MERGE_KEYS:
        key = MERGE_KEYS[field]
        of_patch = {item[key]: item for item in new}
        kept = [merged(item, of_patch.pop(item[key])) if item[key] in of_patch else item for item in old]
        # kustomize puts what is added first.
        return list(of_patch.values()) + kept
    return new


def files(folder, generator):
    assert set(generator) == {"name", "files"}, generator
    for name in generator["files"]:
        key, _, path = name.rpartition("=")
        yield key or path, (folder / path).read_text()


def configuration(folder, generator):
    data = dict(files(folder, generator))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def secret(folder, generator):
    data = {key: base64.b64encode(text.encode()).decode() for key, text in files(folder, generator)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": generator["name"]}, "type": "Opaque", "data": data}


def rename(node, image):
    if isinstance(node, list):
        for item in node:
            rename(item, image)
    elif isinstance(node, dict):
        if node.get("image") == image["name"]:
            node["image"] = f'{image["newName"]}:{image["newTag"]}'
        for value in node.values():
            rename(value, image)


def in_order(objects):
    for one in objects:
        if one["kind"] == "Secret":
            # kubectl folds long lines.
            one["data"] = {key: "".join(text.split()) for key, text in one["data"].items()}
    return sorted(objects, key=identity)


if sys.argv[1] == "--compare":
    ours = in_order(render(pathlib.Path(sys.argv[2])))
    theirs = in_order([one for one in yaml.safe_load_all(sys.stdin) if one])
    differ = [f"{one}\n{other}\n" for one, other in itertools.zip_longest(ours, theirs) if one != other]
    sys.exit("\n".join(differ) or None)
print(json.dumps(render(pathlib.Path(sys.argv[1]))))
