package agent

import "github.com/charmed-go/charms/jujusim/model"

type secretChanges struct{}

// A StorageRequest is what storage-add asked for.
type StorageRequest struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func (a *Agent) commitSecrets() error         { return nil }
func (a *Agent) restoreSecrets()              {}
func (a *Agent) secretDifferences(c *Changes) {}

var _ model.Secret
