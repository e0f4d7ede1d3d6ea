package plugins

// Spec describes a configuration block, as on the plugin wire
// (hclspec.Spec). Exactly one field is set. Type strings are HCL type
// expressions ("string", "list(string)", "map(string)", ...).
type Spec struct {
	Object     map[string]*Spec
	Array      []*Spec
	Attr       *AttrSpec
	Block      *BlockSpec
	BlockAttrs *AttrSpec
	BlockList  *BlockSpec
	BlockSet   *BlockSpec
	BlockMap   *BlockSpec
	Default    *DefaultSpec
	Literal    *string // an HCL expression
}

// AttrSpec is one attribute (or, as BlockAttrs, a block of free attributes).
type AttrSpec struct {
	Name     string
	Type     string
	Required bool
}

// BlockSpec is a nested block; Min and Max apply to lists and sets (0 = none),
// Labels to maps.
type BlockSpec struct {
	Name     string
	Required bool
	Min, Max uint64
	Labels   []string
	Nested   *Spec
}

// DefaultSpec takes Primary, or Default when that is absent.
type DefaultSpec struct {
	Primary *Spec
	Default *Spec
}

// Attr is shorthand for an attribute spec.
func Attr(name, typ string, required bool) *Spec {
	return &Spec{Attr: &AttrSpec{Name: name, Type: typ, Required: required}}
}

// WithDefault is shorthand for an attribute with a literal default.
func WithDefault(attr *Spec, literal string) *Spec {
	return &Spec{Default: &DefaultSpec{Primary: attr, Default: &Spec{Literal: &literal}}}
}
