package archive

import "slices"

// A Rule is one thing that a charm must obey.
type Rule struct {
	// ID names the rule, such as "dispatch-executable".
	ID string
	// Sentence says what the rule asks and what happens otherwise.
	Sentence string
}

// A Violation is a place where a charm breaks a rule.
type Violation struct {
	Rule Rule
	// Detail says where and how.
	Detail string
}

// String returns "rule: detail".
func (v Violation) String() string { return v.Rule.ID + ": " + v.Detail }

// The rules about the archive itself.
var (
	MetadataPresent    = Rule{"metadata-present", "metadata.yaml must be in the archive: no Juju reads a charm without it."}
	ManifestPresent    = Rule{"manifest-present", "manifest.yaml must be in the archive and name at least one base: Juju 4 refuses a charm without."}
	BaseOS             = Rule{"base-os", "A base must name an operating system that Juju knows, such as ubuntu."}
	BaseChannel        = Rule{"base-channel", "A base must have a channel such as 24.04 or 24.04/stable."}
	BaseArchitecture   = Rule{"base-architecture", "The architectures of a base must be amd64, arm64, armhf, i386, ppc64el, riscv64 or s390x."}
	DispatchPresent    = Rule{"dispatch-present", "The archive must hold dispatch: it is what Juju runs for every hook and action."}
	DispatchExecutable = Rule{"dispatch-executable", "dispatch must have mode 0755 in the archive: Juju does not change it, and a dispatch that is not executable fails every hook."}
	NoStateFiles       = Rule{"no-state-files", "What a unit writes at run time must not be in the archive: an upgrade would overwrite the unit's own state with it."}
	NoSecrets          = Rule{"no-secrets", "Private keys, credentials and version control must not be in the archive: whoever can download the charm can read them."}
	InsideCharm        = Rule{"inside-charm", "A symbolic link must stay inside the charm: Juju refuses one that is absolute or leads out."}
	Revision           = Rule{"revision", "The file revision must hold an integer."}
	LXDProfile         = Rule{"lxd-profile", "lxd-profile.yaml may have devices of type unix-char, unix-block, gpu and usb only, and no config that begins with boot, limits or migration."}
)

// The rules about metadata.yaml.
var (
	Readable             = Rule{"readable", "Every file that describes the charm must be YAML of the shape that Juju reads."}
	Required             = Rule{"required", "A charm must have a name, a summary and a description."}
	Name                 = Rule{"name", "A charm's name is lower-case words of letters and digits joined by hyphens, no word only digits: juju deploy takes no other."}
	FormatOneKeys        = Rule{"format-1-keys", "series, deployment and min-juju-version belong to charms without bases: write assumes: [juju >= 3.6] and platforms instead."}
	EndpointName         = Rule{"endpoint-name", "An endpoint's name begins with a lower-case letter and has letters and digits, in words joined by single hyphens or underscores: juju integrate takes no other."}
	EndpointReserved     = Rule{"endpoint-reserved", "An endpoint may not be called juju or juju-…; only a subordinate's container-scoped requirement may."}
	EndpointDuplicate    = Rule{"endpoint-duplicate", "An endpoint's name may appear once among provides, requires and peers."}
	EndpointInterface    = Rule{"endpoint-interface", "An endpoint must name its interface, and one that is provided or a peer may not be called juju or juju-…."}
	EndpointScope        = Rule{"endpoint-scope", "An endpoint's scope is global or container."}
	SubordinateContainer = Rule{"subordinate-container", "A subordinate must require an endpoint with scope container: it is how its units find their principals."}
	ExtraBindings        = Rule{"extra-bindings", "extra-bindings must name at least one binding, none of them an endpoint, and give no values."}
	StorageType          = Rule{"storage-type", "A storage is of type filesystem or block, and only a filesystem has a location."}
	StorageCount         = Rule{"storage-count", "The range of a storage is m, m-n or m+, with at least one at most."}
	StorageSize          = Rule{"storage-size", "The minimum size of a storage is a number with an optional suffix M, G, T, P, E, Z or Y."}
	DeviceCount          = Rule{"device-count", "A device has a type and counts of which the minimum is not above the maximum."}
	ResourceType         = Rule{"resource-type", "A resource is of type file or oci-image."}
	ResourceFilename     = Rule{"resource-filename", "A file resource has a filename without a slash."}
	ContainerResource    = Rule{"container-resource", "The resource of a container must exist and be of type oci-image."}
	ContainerMount       = Rule{"container-mount", "A container's mount must name a storage of the charm and a location."}
	ContainerUser        = Rule{"container-user", "A container's uid and gid may not be from 1000 to 9999, which Juju keeps to itself."}
	CharmUser            = Rule{"charm-user", "charm-user is root, sudoer or non-root."}
	Assumes              = Rule{"assumes", "assumes is a list of features such as juju >= 3.6, and of any-of and all-of lists."}
	Terms                = Rule{"terms", "A term is [owner/]name[/revision] with a positive revision."}
)

// The rules about config.yaml and actions.yaml.
var (
	ConfigOptions  = Rule{"config-options", "config.yaml must have options: leave the file out if there are none."}
	OptionType     = Rule{"option-type", "An option is of type string, int, float, boolean or secret."}
	OptionDefault  = Rule{"option-default", "An option's default must be of the option's type."}
	ActionName     = Rule{"action-name", "An action's name is lower-case letters, digits and hyphens, with a letter or digit at both ends."}
	ActionReserved = Rule{"action-reserved", "An action may not be called juju or juju-…."}
	ActionSchema   = Rule{"action-schema", "The parameters of an action must be JSON Schema without references."}
)

// Rules returns all rules.
func Rules() []Rule {
	return slices.Clone([]Rule{
		MetadataPresent, ManifestPresent, BaseOS, BaseChannel, BaseArchitecture,
		DispatchPresent, DispatchExecutable, NoStateFiles, NoSecrets, InsideCharm, Revision, LXDProfile,
		Readable, Required, Name, FormatOneKeys,
		EndpointName, EndpointReserved, EndpointDuplicate, EndpointInterface, EndpointScope,
		SubordinateContainer, ExtraBindings, StorageType, StorageCount, StorageSize, DeviceCount,
		ResourceType, ResourceFilename, ContainerResource, ContainerMount, ContainerUser,
		CharmUser, Assumes, Terms,
		ConfigOptions, OptionType, OptionDefault, ActionName, ActionReserved, ActionSchema,
	})
}
