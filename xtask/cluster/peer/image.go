package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
)

// image writes this very program as a container image of one layer, in the format of `docker save`.
func image(file, name string) {
	self, err := os.ReadFile("/proc/self/exe")
	fail(err)
	layer := archive(entry{"peer", 0o755, self})
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/peer"}, "Cmd": []string{"pause"}},
		"rootfs": map[string]any{
			"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])},
		},
	})
	fail(err)
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	fail(err)
	whole := archive(
		entry{"manifest.json", 0o644, manifest}, entry{"config.json", 0o644, config},
		entry{"layer.tar", 0o644, layer},
	)
	fail(os.WriteFile(file, whole, 0o644))
}

type entry struct {
	name    string
	mode    int64
	content []byte
}

func archive(entries ...entry) []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, it := range entries {
		fail(writer.WriteHeader(&tar.Header{Name: it.name, Mode: it.mode, Size: int64(len(it.content))}))
		_, err := writer.Write(it.content)
		fail(err)
	}
	fail(writer.Close())
	return out.Bytes()
}
