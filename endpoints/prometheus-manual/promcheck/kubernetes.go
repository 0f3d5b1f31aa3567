package promcheck

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	promconfig "github.com/prometheus/common/config"
)

// kubernetes has the fields of a kubernetes_sd_configs section, as documented
// in Prometheus's configuration reference.
type kubernetes struct {
	APIServer  promconfig.URL              `yaml:"api_server,omitempty"`
	Role       string                      `yaml:"role"`
	KubeConfig string                      `yaml:"kubeconfig_file"`
	Client     promconfig.HTTPClientConfig `yaml:",inline"`
	Namespaces struct {
		Own   bool     `yaml:"own_namespace"`
		Names []string `yaml:"names"`
	} `yaml:"namespaces,omitempty"`
	Selectors []struct {
		Role  string `yaml:"role,omitempty"`
		Label string `yaml:"label,omitempty"`
		Field string `yaml:"field,omitempty"`
	} `yaml:"selectors,omitempty"`
	AttachMetadata struct {
		Node      bool `yaml:"node"`
		Namespace bool `yaml:"namespace"`
	} `yaml:"attach_metadata,omitempty"`
}

// UnmarshalYAML reads a section and checks it as a whole. The syntax of
// selectors is left to the server.
func (k *kubernetes) UnmarshalYAML(unmarshal func(any) error) error {
	type plain kubernetes
	*k = kubernetes{Client: promconfig.DefaultHTTPClientConfig}
	if err := unmarshal((*plain)(k)); err != nil {
		return err
	}
	if err := k.Client.Validate(); err != nil {
		return err
	}
	ownClient := !reflect.DeepEqual(k.Client, promconfig.DefaultHTTPClientConfig)
	switch {
	case k.Role == "":
		return errors.New("role is missing")
	case selectable(k.Role) == nil:
		return fmt.Errorf("unknown role %q", k.Role)
	case k.APIServer.URL != nil && k.KubeConfig != "":
		return errors.New("api_server and kubeconfig_file exclude each other")
	case k.KubeConfig != "" && ownClient:
		return errors.New("kubeconfig_file and an HTTP client configuration exclude each other")
	case k.APIServer.URL == nil && ownClient:
		return errors.New("an HTTP client configuration needs api_server")
	case k.Namespaces.Own && (k.APIServer.URL != nil || k.KubeConfig != ""):
		return errors.New("namespaces.own_namespace needs a server inside the cluster")
	}
	var seen []string
	for _, selector := range k.Selectors {
		if !slices.Contains(selectable(k.Role), selector.Role) {
			return fmt.Errorf("role %q has no selectors of role %q", k.Role, selector.Role)
		}
		if slices.Contains(seen, selector.Role) {
			return fmt.Errorf("there are two selectors of role %q", selector.Role)
		}
		seen = append(seen, selector.Role)
	}
	return nil
}

// selectable returns the roles whose objects can be selected when targets of
// a role are discovered, nil if there is no such role.
func selectable(role string) []string {
	switch role {
	case "node", "service", "ingress":
		return []string{role}
	case "pod":
		return []string{"pod", "node"}
	case "endpoints", "endpointslice":
		return []string{role, "pod", "service"}
	}
	return nil
}
