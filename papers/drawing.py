"Pictures of the tables: a named dot for each model, AUC drawn so that the distance to 1 shrinks by the same factor in the same height."
from io import BytesIO
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image as Png
from matplotlib.ticker import EngFormatter, LogLocator
from matplotlib.transforms import Bbox
from PIL import Image

closeness = lambda a: -np.log1p(-np.minimum(a, 1 - 1e-9)), lambda z: -np.expm1(-z)


def picture(figure):
    "A figure in 64 colours, a quarter as large in the notebook."
    full, few = BytesIO(), BytesIO()
    figure.savefig(full, dpi=100)
    plt.close(figure)
    Image.open(full).convert('RGB').quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(few, 'png', optimize=True)
    return Png(few.getvalue())


def tidy(axes):
    axes.grid(color='#eeeeee')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def close_to_one(axes, which):
    "An axis of AUCs."
    getattr(axes, f'set_{which}scale')('function', functions=closeness)
    getattr(axes, f'set_{which}ticks')(ticks(*getattr(axes, f'get_{which}lim')()))


def ticks(lowest, highest):
    "AUCs at round places, the closest to 1 first, none nearer to the last one than a fifteenth of the axis."
    distance, found = (closeness[0](highest) - closeness[0](lowest)) / 15, []
    for a in np.arange(np.floor(highest * 200) / 200, lowest, -.005):
        if not found or closeness[0](found[-1]) - closeness[0](a) > distance: found.append(round(a, 3))
    return found


def costs(axes):
    "A logarithmic axis: 300, 1k, 3k, .., 1M."
    axes.set_xscale('log')
    axes.margins(x=.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=''))
    axes.minorticks_off()


def boxes_around(x, y, w, h, steps=(9, 16, 26, 38, 52, 68)):
    "Boxes of a size around a point, the nearest first."
    angles = np.arange(0, 2 * np.pi, np.pi / 8)
    return [Bbox.from_bounds(x + (r + w / 2) * np.cos(a) - w / 2, y + r * np.sin(a) - h / 2, w, h) for r in steps for a in angles]


def free_boxes(dots, sizes, inside):
    "A box of each size near each dot that covers neither a dot nor another box, and lies inside; the nearest one where there is none."
    taken, found = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in dots], []
    for dot, size in zip(dots, sizes):
        around = boxes_around(*dot, *size)
        free = [b for b in around if b.min[0] > inside.x0 and b.max[0] < inside.x1 and b.min[1] > inside.y0 and b.max[1] < inside.y1 and not b.count_overlaps(taken)]
        found.append((free or around)[0])
        taken.append(found[-1])
    return found


def name_dots(axes, x, y, names):
    "A name beside each dot, with a thin line where it had to move away or is as near to another dot."
    texts = [axes.text(*at, name, fontsize=9, ha='center', va='center', in_layout=False) for *at, name in zip(x, y, names)]
    axes.figure.canvas.draw()
    dots, back = axes.transData.transform(np.c_[x, y]), axes.transData.inverted().transform
    sizes = [(b.width + 2, b.height) for b in (t.get_window_extent() for t in texts)]
    for i, (text, box) in enumerate(zip(texts, free_boxes(dots, sizes, axes.get_window_extent()))):
        text.set_position(back((box.min + box.max) / 2))
        near = np.clip(dots, box.min, box.max)
        away = np.hypot(*(near - dots).T)
        if away[i] > 12 or (away < away[i] + 6).sum() > 1: axes.plot(*back([dots[i], near[i]]).T, color='#999999', linewidth=.6, zorder=1)


def scatter(axes, x, y, kinds):
    "A dot for each model in the shape and colour of its kind; x and y are series by model."
    for kind, (color, marker, models) in kinds.items():
        some = x.index.isin(models)
        if some.any(): axes.plot(x[some], y[some], marker, color=color, label=kind)


def named(axes, x, y):
    "The last strokes, when scales and limits are settled."
    tidy(axes)
    name_dots(axes, x, y, x.index)
    axes.legend(frameon=False, loc='lower right', fontsize=9)
