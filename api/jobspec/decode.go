package jobspec

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/steppe-project/steppe/model"
)

// maxBlocks bounds what dynamic blocks can multiply to.
const maxBlocks = 20_000

// decoder turns the job block into the tree that model.BuildJob reads, and
// records where each part stands.
type decoder struct {
	*evaluator
	positions Positions
	blocks    int
}

// instance is a block as written, or one that a dynamic block made.
type instance struct {
	typ    string
	labels []string
	body   *hclsyntax.Body
	ctx    *hcl.EvalContext
	at     hcl.Range // of its header
	typeAt hcl.Range
}

// block decodes a body by its schema.
func (d *decoder) block(in instance, s *block, p model.Path) map[string]any {
	tree := map[string]any{}
	if s.label != "" && len(in.labels) > 0 {
		tree[s.label] = in.labels[0]
	}
	for _, name := range sortedByPosition(in.body.Attributes) {
		d.argument(tree, in.body.Attributes[name], s, in.ctx, p)
	}
	count := map[string]int{}
	for _, child := range d.instances(in.body.Blocks, in.ctx) {
		d.child(tree, child, s, p, count)
	}
	for _, name := range s.required {
		if tree[s.fields[name].json] == nil {
			d.diags.add(in.at, "", "the argument %q is required", name)
		}
	}
	if s.finish != nil {
		s.finish(tree)
	}
	return tree
}

func sortedByPosition(attrs hclsyntax.Attributes) []string {
	names := slices.Collect(maps.Keys(attrs))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(attrs[a].SrcRange.Start.Byte-attrs[b].SrcRange.Start.Byte, cmp.Compare(a, b))
	})
	return names
}

func (d *decoder) argument(tree map[string]any, a *hclsyntax.Attribute, s *block, ctx *hcl.EvalContext, p model.Path) {
	f := s.fields[a.Name]
	switch {
	case f == nil:
		d.diags.add(a.NameRange, suggestion(a.Name, s.names()), "unknown argument %q", a.Name)
		return
	case f.kind.isBlock():
		d.diags.add(a.NameRange, "write "+a.Name+" { ... } without =", "%q is a block, not an argument", a.Name)
		return
	}
	path := p.Attr(a.Name)
	d.positions.set(path, a.Expr.Range())
	v, ok := d.value(a.Expr, ctx)
	if !ok {
		return
	}
	plain, err := plainValue(v, f)
	if err != nil {
		d.diags.add(a.Expr.Range(), "", "%s %v", a.Name, err)
		return
	}
	if plain != nil {
		tree[f.json] = plain
	}
}

func (s *block) names() []string { return slices.Collect(maps.Keys(s.fields)) }

func (d *decoder) child(tree map[string]any, in instance, s *block, p model.Path, count map[string]int) {
	f := s.fields[in.typ]
	switch {
	case f == nil:
		d.diags.add(in.typeAt, suggestion(in.typ, s.names()), "unknown block %q", in.typ)
	case f.kind.isMap():
		d.mapBlock(tree, in, f, p)
	case !f.kind.isBlock():
		d.diags.add(in.typeAt, "write "+in.typ+" = ...", "%q is an argument, not a block", in.typ)
	case !d.labelsFit(in, f.block):
	default:
		d.nested(tree, in, f, p, count)
	}
}

func (d *decoder) labelsFit(in instance, s *block) bool {
	want := 0
	if s.label != "" {
		want = 1
	}
	switch {
	case len(in.labels) < want:
		d.diags.add(in.at, "write "+in.typ+" \"name\" { ... }", "the block %q needs a label", in.typ)
	case len(in.labels) > want:
		d.diags.add(in.at, "", "too many labels: the block %q takes %d", in.typ, want)
	default:
		return true
	}
	return false
}

func (d *decoder) nested(tree map[string]any, in instance, f *field, p model.Path, count map[string]int) {
	path := p.Attr(in.typ)
	switch {
	case f.block.label != "":
		key := in.typ + "\x00" + in.labels[0]
		count[key]++
		path = p.Label(in.typ, in.labels[0]).Occurrence(count[key])
	case f.kind == kindBlocks:
		path = p.Index(in.typ, count[in.typ])
		count[in.typ]++
	}
	if f.json == keyTasks { // a task of the job becomes a group of its own
		group := p.Label("group", in.labels[0])
		d.positions.set(group, in.at)
		path = group.Label("task", in.labels[0])
	}
	if _, twice := tree[f.json]; twice && f.kind == kindBlock {
		d.diags.add(in.at, "", "only one %s block is allowed here", in.typ)
		return
	}
	d.positions.set(path, in.at)
	value := d.block(in, f.block, path)
	switch f.kind {
	case kindBlock:
		tree[f.json] = value
	case kindBlocks:
		list, _ := tree[f.json].([]any)
		tree[f.json] = append(list, value)
	default:
		byLabel, _ := tree[f.json].(map[string]any)
		if byLabel == nil {
			byLabel = map[string]any{}
		}
		byLabel[in.labels[0]] = value
		tree[f.json] = byLabel
	}
}

// mapBlock decodes a block without schema: env, meta, config.
func (d *decoder) mapBlock(tree map[string]any, in instance, f *field, p model.Path) {
	path := p.Attr(in.typ)
	if len(in.labels) > 0 {
		d.diags.add(in.at, "", "the block %q takes no label", in.typ)
		return
	}
	if _, twice := tree[f.json]; twice {
		d.diags.add(in.at, "", "Duplicate %s block", in.typ)
		return
	}
	d.positions.set(path, in.at)
	out := map[string]any{}
	tree[f.json] = out
	element := *f
	switch f.kind {
	case kindStringMap:
		element.kind = kindString
	case kindStringsMap:
		element.kind = kindStrings
	default:
		d.free(out, in, path)
		return
	}
	for _, name := range sortedByPosition(in.body.Attributes) {
		a := in.body.Attributes[name]
		d.positions.set(path.Key(name), a.Expr.Range())
		v, ok := d.value(a.Expr, in.ctx)
		if !ok {
			continue
		}
		plain, err := plainValue(v, &element)
		if err != nil {
			d.diags.add(a.Expr.Range(), "", "%s %v", name, err)
		} else if plain != nil {
			out[name] = plain
		}
	}
	for _, b := range in.body.Blocks {
		d.diags.add(b.TypeRange, "write "+b.Type+" = ...", "the block %q holds strings only", in.typ)
	}
}

// free decodes a body without schema. Blocks within become lists of maps, one
// level of map for each label.
func (d *decoder) free(out map[string]any, in instance, p model.Path) {
	for _, name := range sortedByPosition(in.body.Attributes) {
		a := in.body.Attributes[name]
		d.positions.set(p.Key(name), a.Expr.Range())
		v, ok := d.value(a.Expr, in.ctx)
		if !ok {
			continue
		}
		plain, err := nestedSchemaless(v)
		if err != nil {
			d.diags.add(a.Expr.Range(), "", "%s %v", name, err)
			continue
		}
		out[name] = plain
	}
	for _, b := range d.instances(in.body.Blocks, in.ctx) {
		d.positions.set(p.Key(b.typ), b.at)
		inner := map[string]any{}
		d.free(inner, b, p.Key(b.typ))
		for _, label := range slices.Backward(b.labels) {
			inner = map[string]any{label: []any{inner}}
		}
		list, isList := out[b.typ].([]any)
		if _, taken := out[b.typ]; taken && !isList {
			d.diags.add(b.at, "", "%q is already set as an argument", b.typ)
			continue
		}
		out[b.typ] = append(list, inner)
	}
}

// instances are the blocks of a body with the dynamic ones expanded.
func (d *decoder) instances(blocks hclsyntax.Blocks, ctx *hcl.EvalContext) []instance {
	var out []instance
	for _, b := range blocks {
		if d.blocks++; d.blocks > maxBlocks {
			if d.blocks == maxBlocks+1 {
				d.diags.add(b.TypeRange, "", "the file has more than %d blocks, dynamic ones included", maxBlocks)
			}
			return nil
		}
		if b.Type == "dynamic" {
			out = append(out, d.dynamic(b, ctx)...)
			continue
		}
		out = append(out, instance{typ: b.Type, labels: b.Labels, body: b.Body, ctx: ctx, at: header(b), typeAt: b.TypeRange})
	}
	return out
}

func header(b *hclsyntax.Block) hcl.Range {
	at := b.TypeRange
	if n := len(b.LabelRanges); n > 0 {
		at = hcl.RangeBetween(at, b.LabelRanges[n-1])
	}
	return at
}

// dynamic makes one block for each element of for_each.
func (d *decoder) dynamic(b *hclsyntax.Block, ctx *hcl.EvalContext) []instance {
	at := header(b)
	if len(b.Labels) != 1 {
		d.diags.add(at, `write dynamic "port" { ... }`, "a dynamic block needs the type of the blocks to make as its label")
		return nil
	}
	content := d.dynamicParts(b)
	each, ok := b.Body.Attributes["for_each"]
	if content == nil || !ok {
		d.diags.add(at, "", "a dynamic block needs for_each and one content block")
		return nil
	}
	iterator := b.Labels[0]
	if a, ok := b.Body.Attributes["iterator"]; ok {
		if iterator = hcl.ExprAsKeyword(a.Expr); iterator == "" {
			d.diags.add(a.Expr.Range(), "iterator = item", "an iterator is a name without quotes")
			return nil
		}
	}
	coll, ok := d.value(each.Expr, ctx)
	if !ok {
		return nil
	}
	if coll.IsNull() || !coll.CanIterateElements() {
		d.diags.add(each.Expr.Range(), "", "for_each must be a list, set or map, not %s", shown(coll))
		return nil
	}
	var out []instance
	for it := coll.ElementIterator(); it.Next(); {
		if d.blocks++; d.blocks > maxBlocks {
			d.diags.add(at, "", "the file has more than %d blocks, dynamic ones included", maxBlocks)
			return nil
		}
		k, v := it.Element()
		if coll.Type().IsSetType() {
			k = v
		}
		child := ctx.NewChild()
		child.Variables = map[string]cty.Value{iterator: cty.ObjectVal(map[string]cty.Value{"key": k, "value": v})}
		labels, ok := d.dynamicLabels(b, child)
		if !ok {
			return nil
		}
		out = append(out, instance{typ: b.Labels[0], labels: labels, body: content.Body, ctx: child, at: at, typeAt: b.LabelRanges[0]})
	}
	return out
}

// dynamicParts checks what a dynamic block holds and returns its content.
func (d *decoder) dynamicParts(b *hclsyntax.Block) *hclsyntax.Block {
	known := []string{"for_each", "iterator", "labels", "content"}
	for name, a := range b.Body.Attributes {
		if !slices.Contains(known[:3], name) {
			d.diags.add(a.NameRange, suggestion(name, known), "unknown argument %q of a dynamic block", name)
		}
	}
	var content *hclsyntax.Block
	for _, c := range b.Body.Blocks {
		if c.Type != "content" || content != nil {
			d.diags.add(c.TypeRange, "", "a dynamic block holds one content block and no other")
			return nil
		}
		content = c
	}
	return content
}

func (d *decoder) dynamicLabels(b *hclsyntax.Block, ctx *hcl.EvalContext) ([]string, bool) {
	a, ok := b.Body.Attributes["labels"]
	if !ok {
		return nil, true
	}
	v, ok := d.value(a.Expr, ctx)
	if !ok {
		return nil, false
	}
	list, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || list.IsNull() {
		d.diags.add(a.Expr.Range(), "", "labels must be a list of strings, not %s", shown(v))
		return nil, false
	}
	var labels []string
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			d.diags.add(a.Expr.Range(), "", "a label must not be null")
			return nil, false
		}
		labels = append(labels, e.AsString())
	}
	return labels, true
}
