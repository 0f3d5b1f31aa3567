package sqlitefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/canonicaljson"
)

const (
	// configFile is where charmhelpers notes in the charm directory what the
	// options were, to tell in the next hook which ones changed (Config in
	// hookenv).
	configFile = ".juju-persistent-config"
	// configKey is the key of the entry in which package reactive does: the sums
	// of the options' values, by name.
	configKey = "charms.config"

	// maxConfig is the longest file of options that is read, in bytes.
	maxConfig = 16 << 20
)

// options returns the options as the Python charm saw them last, in the form of
// the entry configKey; nil if it noted none.
func (o Options) options() (json.RawMessage, error) {
	if o.CharmDir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(o.CharmDir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the options that the Python charm saw last: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(configFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, nil
	}
	if err == nil && info.Size() > maxConfig {
		err = fmt.Errorf("%d bytes are too many", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = root.ReadFile(configFile)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the options that the Python charm saw last: %s: %w", configFile, err)
	}
	members, err := canonicaljson.Members(string(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the options that the Python charm saw last: %s: %w", configFile, err)
	}
	charm, err := charmfile.Load(o.CharmDir)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the options that the Python charm saw last: %w", err)
	}
	sums := make(map[string]string)
	for name, value := range members {
		// Python charms may store data of their own there.
		if _, ok := charm.Options.Get(name); !ok {
			continue
		}
		// Juju says nothing of an option without a value.
		if text := canonicaljson.Canonical(string(value)); text != "null" {
			sums[name] = canonicaljson.Digest(text)
		}
	}
	text, err := canonicaljson.Encode(sums)
	return json.RawMessage(text), err
}
